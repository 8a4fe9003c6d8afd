"""The boundary scales, and the `aligned` initialization of projectors by ridge regression.

At every block boundary, hidden states of the hybrid are regressed onto those that the component
itself has there (`W_in`), and a block's output onto the hidden states of one component whose space
is the common language (`W_out`). The gates are part of the regression: what is fitted is the whole
`(1 - alpha) * W(h) + alpha * h`, at the current mixture weights. Blocks are fitted in order, each
on what the fitted blocks before it really hand over. All states are in the hybrid's units, divided
by the boundary scales.

The paper reaches the same end by gradient descent on about 70M tokens; this takes a few thousand.
"""

import math
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from manticore.components.places import undamaged
from manticore.hybrid.boundaries import BoundaryObserver
from manticore.hybrid.mixture import PassWeights
from manticore.hybrid.parts import evaluating
from manticore.hybrid.projectors import Projector, resize_width

if TYPE_CHECKING:
    from manticore.hybrid.modeling import ManticoreForCausalLM

RIDGE = 1e-3

States = list[list[torch.Tensor]]
"""For each component, its own hidden states (n, T, d_k) at the N + 1 block boundaries."""


def common_component(hybrid: "ManticoreForCausalLM") -> int:
    """The component whose space is the common language: the first of the widest."""
    return hybrid.widths.index(hybrid.width)


@torch.no_grad()
def boundary_states(hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor) -> States:
    """Each component's own hidden states at the block boundaries, when it runs alone.

    Args:
        hybrid: The hybrid.
        input_ids: (n, T) token ids.

    Returns:
        K lists of N + 1 tensors (n, T, d_k), in the components' own units.
    """
    positions = _positions(input_ids)
    states = []
    with evaluating(hybrid):
        for runner, cuts in zip(hybrid.runners, hybrid.cuts, strict=True):
            own = [runner.embed(input_ids, positions)]
            for start, stop in pairwise(cuts):
                own.append(
                    runner.run(
                        start,
                        stop,
                        own[-1],
                        attention_mask=None,
                        position_ids=positions,
                        cache=None,
                    )
                )
            states.append(own)
    return states


def scaled_states(hybrid: "ManticoreForCausalLM", states: States) -> States:
    """The states that `boundary_states` gives, divided by the boundary scales."""
    return [
        [state / scales[k] for state, scales in zip(own, hybrid.config.scales, strict=True)]
        for k, own in enumerate(states)
    ]


@torch.no_grad()
def common_states(hybrid: "ManticoreForCausalLM", states: States) -> list[torch.Tensor]:
    """What the blocks' outputs should be at the N + 1 boundaries, (n, T, D) each.

    Inside the hybrid that is one component's states: the common language. At the end every
    component's own head reads the same states, so there it is the mixture of all of them.

    Args:
        hybrid: The hybrid.
        states: Scaled states of every component.
    """
    common = [resize_width(state, hybrid.width) for state in states[common_component(hybrid)]]
    common[-1] = reduce(
        torch.add,
        (
            weight * resize_width(own[-1], hybrid.width)
            for weight, own in zip(hybrid.mixture_weights[-1], states, strict=True)
        ),
    )
    return common


def set_scales(hybrid: "ManticoreForCausalLM", states: States) -> None:
    """Set the boundary scales: root mean squares of the states, rounded to powers of two.

    Copies of one component have the same: what one hands on, the other takes in as it is.

    Args:
        hybrid: The hybrid; its configuration gets the scales.
        states: What `boundary_states` gave on some text.

    Raises:
        ValueError: Hidden states of a component are not finite.
    """
    sizes = [[float(state.float().square().mean()) ** 0.5 for state in own] for own in states]
    for name, own in zip(hybrid.component_names, sizes, strict=True):
        for boundary, size in enumerate(own):
            if not math.isfinite(size):
                raise ValueError(
                    f"The hidden states of the component '{name}' are not finite after "
                    f"{boundary} of {len(own) - 1} blocks, in {hybrid.components[0].dtype}: build "
                    "the hybrid with dtype=torch.float32, or leave the component out."
                )
    sources = [undamaged(source) for source in hybrid.config.component_sources]
    of_copies = [sizes[sources.index(source)] for source in sources]
    hybrid.config.scales = [
        [2.0 ** round(math.log2(max(size, 1e-30))) for size in boundary]
        for boundary in zip(*of_copies, strict=True)
    ]


@torch.no_grad()
def align_projectors(
    hybrid: "ManticoreForCausalLM",
    input_ids: torch.Tensor,
    states: States,
    *,
    strength: float = RIDGE,
) -> None:
    """Fit every projector in closed form, at the hybrid's current mixture weights.

    Args:
        hybrid: The hybrid, whose projectors are replaced.
        input_ids: (n, T) token ids of text; a few thousand in all are enough.
        states: What `boundary_states` gives for these ids.
        strength: Ridge penalty, relative to the mean square of the inputs.
    """
    observe_boundaries(hybrid, input_ids, _Fit(hybrid, scaled_states(hybrid, states), strength))


@torch.no_grad()
def observe_boundaries(
    hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor, observer: BoundaryObserver
) -> None:
    """Run the hybrid without dropout, showing every boundary to an observer.

    Args:
        hybrid: The hybrid; it is put back into the mode it was in.
        input_ids: (n, T) token ids.
        observer: Looks at the boundaries.
    """
    positions, alpha = _positions(input_ids), hybrid.mixture_weights
    weights = PassWeights.given(alpha, input_ids.shape[1])
    with evaluating(hybrid):
        first = hybrid.get_input_embeddings()(input_ids, positions, weights)
        for _ in hybrid.blocks.states(first, weights, position_ids=positions, observer=observer):
            pass


class _Fit(BoundaryObserver):
    """Fits each projector right before it is used, to the components' own states."""

    def __init__(self, hybrid: "ManticoreForCausalLM", states: States, strength: float) -> None:
        self.projectors = hybrid.projectors
        self.states = states
        self.common = common_states(hybrid, states)
        self.strength = strength

    def before_entering(self, block: int, k: int, states: torch.Tensor, gate: float) -> None:
        self._solve(self.projectors.into_block(block, k), states, self.states[k][block], gate)

    def before_leaving(self, block: int, k: int, states: torch.Tensor, gate: float) -> None:
        self._solve(self.projectors.out_of_block(block, k), states, self.common[block + 1], gate)

    def _solve(
        self, projector: Projector, inputs: torch.Tensor, wanted: torch.Tensor, gate: float
    ) -> None:
        if gate < 1:  # At weight one the projector is closed off, whatever it says.
            projector.fit(inputs.flatten(0, 1), wanted.flatten(0, 1), gate, self.strength)


def _positions(input_ids: torch.Tensor) -> torch.Tensor:
    """(1, T) positions of sequences without padding."""
    return torch.arange(input_ids.shape[1], device=input_ids.device)[None]

"""The `aligned` initialisation: projectors by closed-form ridge regression.

At every block boundary, hidden states of the hybrid are regressed onto those that the component
itself has there (`W_in`), and a block's output onto the hidden states of one component whose space
is the common language (`W_out`). The gates are part of the regression: what is fitted is the whole
`(1 - alpha) * W(h) + alpha * h`, at the mixture weights of the moment. Blocks are fitted in order,
each on what the fitted blocks before it really hand over. All states are in the hybrid's units,
divided by the boundary scales.

The paper reaches the same end by gradient descent on about 70M tokens; this takes a few thousand.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from manticore.hybrid.projectors import resize_width

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

RIDGE = 1e-3


@dataclass
class Boundary:
    """One component's block inside the running hybrid.

    Attributes:
        block, k: Which block of which component.
        before: (n, T, D) h[b - 1], what comes in.
        entering: (n, T, d_k) u[b, k], divided by its scale.
        leaving: (n, T, d_k) the output of the block, divided by its scale.
        contribution: (n, T, D) the gated output, before its mixture weight.
    """

    block: int
    k: int
    before: torch.Tensor
    entering: torch.Tensor
    leaving: torch.Tensor
    contribution: torch.Tensor


def common_component(hybrid: "ManticoreForCausalLM") -> int:
    """The component whose space is the common language: the first of the widest."""
    return hybrid.widths.index(hybrid.width)


@torch.no_grad()
def boundary_states(
    hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor
) -> list[list[torch.Tensor]]:
    """Each component's own hidden states at the N + 1 block boundaries, run alone.

    Args:
        hybrid: The hybrid.
        input_ids: (n, T).

    Returns:
        K lists of N + 1 tensors (n, T, d_k), divided by the boundary scales.
    """
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
    states = []
    for k, (runner, cuts) in enumerate(zip(hybrid.runners, hybrid.cuts, strict=True)):
        own = [runner.embed(input_ids, positions)]
        for start, stop in pairwise(cuts):
            own.append(
                runner.run(
                    start, stop, own[-1], attention_mask=None, position_ids=positions, cache=None
                )
            )
        scales = [row[k] for row in hybrid.config.scales]
        states.append([state / scale for state, scale in zip(own, scales, strict=True)])
    return states


@torch.no_grad()
def common_states(
    hybrid: "ManticoreForCausalLM", states: list[list[torch.Tensor]]
) -> list[torch.Tensor]:
    """What the blocks' outputs should be at the N + 1 boundaries, (n, T, D) each.

    Inside the hybrid that is one component's states: the common language. At the end every
    component's own head reads the same states, so there it is the mixture of all of them.

    Args:
        hybrid: The hybrid.
        states: What `boundary_states` gave.
    """
    common = states[common_component(hybrid)]
    last = sum(
        weight * resize_width(own[-1], hybrid.width)
        for weight, own in zip(hybrid.mixture_weights[-1], states, strict=True)
    )
    return [*(resize_width(state, hybrid.width) for state in common[:-1]), last]


def set_scales(hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor) -> None:
    """Measure the boundary scales on text: root mean squares, rounded to powers of two.

    Args:
        hybrid: The hybrid; its configuration gets the scales.
        input_ids: (n, T).
    """
    measured = [
        [
            2.0 ** round(math.log2(max(float(state.float().square().mean()) ** 0.5, 1e-30)))
            for state in states
        ]
        for states in boundary_states(hybrid, input_ids)
    ]
    old = hybrid.config.scales
    hybrid.config.scales = [
        [old[b][k] * scales[b] for k, scales in enumerate(measured)] for b in range(len(old))
    ]


@torch.no_grad()
def each_boundary(
    hybrid: "ManticoreForCausalLM",
    input_ids: torch.Tensor,
    fit: "_Fit | None" = None,
) -> Iterator[Boundary]:
    """Run the hybrid block by block and hand out what passes every boundary.

    Args:
        hybrid: The hybrid.
        input_ids: (n, T).
        fit: Called to fit the two projectors of a block before they are used.
    """
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
    alpha = hybrid.mixture_weights
    scales = hybrid.config.scales
    before = hybrid.embedding(input_ids, positions)
    for block in range(hybrid.config.n_blocks):
        mixed = torch.zeros_like(before)
        for k, runner in enumerate(hybrid.runners):
            weight = alpha[block, k]
            alone = bool(weight == 1)
            if fit is not None and not alone:
                fit.into(block, k, before, float(weight))
            entering = hybrid.enter(block, k, before, weight, alone)
            start, stop = hybrid.cuts[k][block : block + 2]
            leaving = runner.run(
                start, stop, entering, attention_mask=None, position_ids=positions, cache=None
            )
            if fit is not None and not alone:
                fit.out_of(block, k, leaving / scales[block + 1][k], float(weight))
            contribution = hybrid.leave(block, k, leaving, weight, alone)
            mixed = mixed + weight * contribution
            yield Boundary(
                block,
                k,
                before,
                entering / scales[block][k],
                leaving / scales[block + 1][k],
                contribution,
            )
        before = mixed


class _Fit:
    """Fits projectors to the components' own states."""

    def __init__(
        self, hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor, strength: float
    ) -> None:
        self.projectors = hybrid.projectors
        self.states = boundary_states(hybrid, input_ids)
        self.common = common_states(hybrid, self.states)
        self.strength = strength

    def into(self, block: int, k: int, before: torch.Tensor, gate: float) -> None:
        self._solve(self.projectors.into[block][k], before, self.states[k][block], gate)

    def out_of(self, block: int, k: int, leaving: torch.Tensor, gate: float) -> None:
        self._solve(self.projectors.out_of[block][k], leaving, self.common[block + 1], gate)

    def _solve(
        self, projector: torch.nn.Module, inputs: torch.Tensor, wanted: torch.Tensor, gate: float
    ) -> None:
        projector.fit(inputs.flatten(0, 1), wanted.flatten(0, 1), gate, self.strength)


@torch.no_grad()
def align_projectors(
    hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor, *, strength: float = RIDGE
) -> None:
    """Fit every projector in closed form, at the hybrid's current mixture weights.

    Args:
        hybrid: The hybrid, whose projectors are replaced.
        input_ids: (n, T) tokens of text; a few thousand in all are enough.
        strength: Ridge penalty, relative to the mean square of the inputs.
    """
    was_training = hybrid.training
    hybrid.eval()
    for _ in each_boundary(hybrid, input_ids, _Fit(hybrid, input_ids, strength)):
        pass
    hybrid.train(was_training)

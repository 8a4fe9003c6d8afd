"""The blocks of a hybrid: the maths of one pass, and the only loop over blocks.

The maths is the paper's (section 3), with one addition. Residual streams of different families
differ in size (64-fold between bundled components), so what one component hands on would drown the
others. The hybrid therefore divides component k's hidden states by a fixed scale s[b, k] at
boundary b, and multiplies them again where they enter its next block:

    h[0]    = sum_k alpha[1,k] * pad(E_k(ids) / s[0,k])
    u[b,k]  = s[b-1,k] * ((1 - alpha[b,k]) * W_in[b,k](h[b-1]) + alpha[b,k] * trunc_k(h[b-1]))
    v[b,k]  = block[b,k](u[b,k]) / s[b,k]
    h[b]    = sum_k alpha[b,k] * ((1 - alpha[b,k]) * W_out[b,k](v[b,k]) + alpha[b,k] * pad(v[b,k]))
    logits  = sum_k alpha[B,k] * head_k(norm_k(s[B,k] * trunc_k(h[B])))

Scales are powers of two, so dividing and multiplying is exact, and one-hot mixture weights still
give the component's logits to the last bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch

from manticore.components.runner import BlockRunner
from manticore.hybrid.cache import HybridCache
from manticore.hybrid.mixture import Mixture
from manticore.hybrid.projectors import BlockProjectors, resize_width


@dataclass(frozen=True)
class Boundary:
    """What passes into and out of one component's block in the running hybrid.

    Attributes:
        block: Index of the block, from 0.
        k: Index of the component.
        entering: (B, T, d_k) u[b, k], divided by its scale.
        leaving: (B, T, d_k) v[b, k], the output of the block divided by its scale.
        contribution: (B, T, D) the gated output, before its mixture weight.
    """

    block: int
    k: int
    entering: torch.Tensor
    leaving: torch.Tensor
    contribution: torch.Tensor


class BoundaryObserver:
    """Looks at every boundary of a pass, those of components of weight zero too."""

    def before_entering(self, block: int, k: int, states: torch.Tensor, gate: float) -> None:
        """Called with h[b - 1], (B, T, D), before the projector into block[b, k] is used.

        Not called where the component is alone in the block, as no projector is used then.
        """

    def before_leaving(self, block: int, k: int, states: torch.Tensor, gate: float) -> None:
        """Called with v[b, k], (B, T, d_k), before the projector out of block[b, k] is used.

        Not called where the component is alone in the block, as no projector is used then.
        """

    def passed(self, boundary: Boundary) -> None:
        """Called when a component's block is done."""


@dataclass(frozen=True)
class HybridBlocks:
    """The parts of a hybrid that hidden states pass through; it refers to them, and owns none.

    Attributes:
        runners: The K components' block runners.
        cuts: For each component, the N + 1 layer indices at which it is cut into blocks.
        widths: d_k, the components' widths.
        scales: (N + 1, K) sizes of the components' hidden states at the boundaries.
        projectors: The projectors into and out of the blocks.
        mixture: The mixture weights.
    """

    runners: list[BlockRunner]
    cuts: list[list[int]]
    widths: list[int]
    scales: list[list[float]]
    projectors: BlockProjectors
    mixture: Mixture

    @property
    def n_blocks(self) -> int:
        """N, the number of blocks."""
        return len(self.scales) - 1

    @property
    def width(self) -> int:
        """D, the hybrid's width."""
        return max(self.widths)

    def live(self, block: int) -> list[int]:
        """Indices of the components that take part in a block: those of weight above zero."""
        live = self.mixture.live()
        return [k for k in range(len(self.runners)) if live is None or live[block][k]]

    def embed(
        self, input_ids: torch.Tensor, position_ids: torch.Tensor, alpha: torch.Tensor
    ) -> torch.Tensor:
        """h[0], (B, T, D): the mixed embeddings of all components.

        Args:
            input_ids: (B, T) token ids.
            position_ids: (B, T) or (1, T) positions.
            alpha: (N, K) mixture weights.
        """
        mixed = []
        for k in self.live(0):
            embedded = self.runners[k].embed(input_ids, position_ids) / self.scales[0][k]
            mixed.append(alpha[0, k] * resize_width(embedded, self.width))
        return reduce(torch.add, mixed)

    def states(
        self,
        hidden_states: torch.Tensor,
        alpha: torch.Tensor,
        *,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: HybridCache | None = None,
        observer: BoundaryObserver | None = None,
    ) -> Iterator[torch.Tensor]:
        """Run the blocks one after the other, yielding h[1] to h[N], (B, T, D) each.

        Args:
            hidden_states: (B, T, D) h[0].
            alpha: (N, K) mixture weights.
            position_ids: (B, T) or (1, T) positions of the T tokens.
            attention_mask: (B, past + T) padding mask, or None when nothing is padded.
            cache: The components' caches, or None.
            observer: Looks at every boundary. With an observer, components of weight zero run too.
        """
        for block in range(self.n_blocks):
            mixed = []
            live = self.live(block)
            for k in live if observer is None else range(len(self.runners)):
                passed = self._pass(
                    block,
                    k,
                    hidden_states,
                    alpha[block, k],
                    alone=live == [k],
                    position_ids=position_ids,
                    attention_mask=attention_mask,
                    cache=cache,
                    observer=observer,
                )
                if k in live:
                    mixed.append(alpha[block, k] * passed)
            hidden_states = reduce(torch.add, mixed)
            yield hidden_states

    def _pass(
        self,
        block: int,
        k: int,
        hidden_states: torch.Tensor,
        gate: torch.Tensor,
        *,
        alone: bool,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: HybridCache | None,
        observer: BoundaryObserver | None,
    ) -> torch.Tensor:
        """From h[b - 1], (B, T, D), to what block[b, k] contributes to h[b], (B, T, D)."""
        if observer is not None and not alone:
            observer.before_entering(block, k, hidden_states, float(gate))
        entering = self._enter(block, k, hidden_states, gate, alone)
        start, stop = self.cuts[k][block : block + 2]
        leaving = self.runners[k].run(
            start,
            stop,
            entering,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=None if cache is None else cache.block(k, start, stop),
        )
        leaving = leaving / self.scales[block + 1][k]
        if observer is not None and not alone:
            observer.before_leaving(block, k, leaving, float(gate))
        contribution = resize_width(leaving, self.width)
        if not alone:
            projected = self.projectors.out_of_block(block, k)(leaving)
            contribution = (1 - gate) * projected + gate * contribution
        if observer is not None:
            entering = entering / self.scales[block][k]
            observer.passed(Boundary(block, k, entering, leaving, contribution))
        return contribution

    def _enter(
        self, block: int, k: int, hidden_states: torch.Tensor, gate: torch.Tensor, alone: bool
    ) -> torch.Tensor:
        """u[b, k], (B, T, d_k), from h[b - 1], (B, T, D)."""
        entering = resize_width(hidden_states, self.widths[k])
        if not alone:
            projected = self.projectors.into_block(block, k)(hidden_states)
            entering = (1 - gate) * projected + gate * entering
        return self._in_own_type(k, entering * self.scales[block][k])

    def _in_own_type(self, k: int, hidden_states: torch.Tensor) -> torch.Tensor:
        """Hidden states in the type that component k's residual stream has."""
        model = self.runners[k].model
        if getattr(model.config, "residual_in_fp32", False):
            return hidden_states
        return hidden_states.to(model.dtype)

    def logits(
        self, hidden_states: torch.Tensor, alpha: torch.Tensor, vocab_size: int
    ) -> torch.Tensor:
        """(B, T, V), the mixed logits of the components' own heads.

        Args:
            hidden_states: (B, T, D) h[N].
            alpha: (N, K) mixture weights.
            vocab_size: V, the size of the hybrid's vocabulary.
        """
        mixed = []
        for k in self.live(self.n_blocks - 1):
            own = resize_width(hidden_states, self.widths[k]) * self.scales[-1][k]
            own_logits = self.runners[k].head(self._in_own_type(k, own))
            mixed.append(alpha[-1, k] * own_logits[..., :vocab_size])
        return reduce(torch.add, mixed)

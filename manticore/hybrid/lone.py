"""What a hybrid's blocks are made of, and blocks in a row that one component does alone.

Then there is nothing to project or to mix between them, and they run as one: a whole pass where
one component does all blocks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from manticore.components.paused import PausedPass
from manticore.components.runner import BlockRunner
from manticore.hybrid.cache import HybridCache
from manticore.hybrid.folding import FoldedBlock
from manticore.hybrid.mixture import PassWeights
from manticore.hybrid.projectors import BlockProjectors, resize_width
from manticore.hybrid.tokens import Missed, Tokens
from manticore.hybrid.weighted_sum import weighted_sum


@dataclass(frozen=True)
class LoneBlocks:
    """The parts of a hybrid that hidden states pass through; it refers to them, and owns none.

    Attributes:
        runners: The K components' block runners.
        cuts: For each component, the N + 1 layer indices at which it is cut into blocks.
        widths: d_k, the components' widths.
        scales: (N + 1, K) sizes of the components' hidden states at the boundaries.
        projectors: The projectors into and out of the blocks.
        gate_power: The gate is the mixture weight to this power; 1 is the paper's.
        started: The forwards of the components that run as a whole in this pass, pausing between
            blocks; empty where each block is a forward of its own.
        joints: The joints of those blocks, by their indices, whose joints are folded in this pass.
    """

    runners: list[BlockRunner]
    cuts: list[list[int]]
    widths: list[int]
    scales: list[list[float]]
    projectors: BlockProjectors
    gate_power: int = 1
    started: Mapping[int, PausedPass] = field(default_factory=dict)
    joints: Mapping[int, FoldedBlock] = field(default_factory=dict)

    @property
    def n_blocks(self) -> int:
        """N, the number of blocks."""
        return len(self.scales) - 1

    @property
    def width(self) -> int:
        """D, the hybrid's width."""
        return max(self.widths)

    def sole(self, weights: PassWeights, cache: HybridCache | None) -> int | None:
        """The component that does all blocks alone, and has missed nothing; None if there is none.

        Args:
            weights: The mixture weights of the pass.
            cache: The components' caches, or None.
        """
        is_sole = self._stretch(0, weights, cache) == self.n_blocks
        return weights.live(0)[0] if is_sole else None

    def sole_logits(
        self,
        k: int,
        input_ids: torch.Tensor,
        weights: PassWeights,
        *,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: HybridCache | None,
        vocab_size: int,
    ) -> torch.Tensor:
        """(B, T, V), the logits of the component that does all blocks alone, run as a whole.

        Args:
            k: Index of the component.
            input_ids: (B, T) token ids.
            weights: The mixture weights of the pass.
            position_ids: (B, T) or (1, T) positions.
            attention_mask: (B, past + T) padding mask, or None.
            cache: The components' caches, or None.
            vocab_size: V, the size of the hybrid's vocabulary.
        """
        sleeping = cache if weights.is_routed and len(self.runners) > 1 else None
        taken: list[torch.Tensor] = []
        logits = self.runners[k].run_whole(
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=None if cache is None else cache.block(k, 0, self.cuts[k][-1]),
            taps=() if sleeping is None else self.cuts[k][:-1],
            taken=taken,
        )
        if sleeping is not None:
            self._postpone(k, 0, self._between(k, 0, taken), position_ids, sleeping)
        return logits[..., :vocab_size]

    def _stretch(self, block: int, weights: PassWeights, cache: HybridCache | None) -> int:
        """End of the blocks from this one on that one component does alone, with nothing missed."""
        live, end = weights.live(block), block
        while len(live) == 1 and end < self.n_blocks and weights.live(end) == live:
            if cache is not None and cache.has_missed(end, live[0]):
                break
            end += 1
        return end

    def _alone(
        self,
        block: int,
        end: int,
        hidden_states: torch.Tensor,
        weights: PassWeights,
        tokens: Tokens,
        cache: HybridCache | None,
    ) -> torch.Tensor:
        """From h[block - 1] to h[end - 1], through blocks that one component does alone."""
        (k,) = weights.live(block)
        cuts = self.cuts[k]
        entering = self._alone_into(block, k, hidden_states)
        sleeping = cache if weights.is_routed else None
        taken: list[torch.Tensor] = []
        leaving = self.runners[k].run(
            cuts[block],
            cuts[end],
            entering,
            attention_mask=tokens.attention_mask,
            position_ids=tokens.position_ids,
            cache=None if cache is None else cache.block(k, cuts[block], cuts[end]),
            taps=() if sleeping is None else cuts[block + 1 : end],
            taken=taken,
        )
        if sleeping is not None:
            entered = [hidden_states, *self._between(k, block + 1, taken)]
            self._postpone(k, block, entered, tokens.position_ids, sleeping)
        leaving = resize_width(leaving / self.scales[end][k], self.width)
        return weighted_sum([(leaving, weights.weight(end - 1, k))])

    def _between(self, k: int, block: int, taken: list[torch.Tensor]) -> list[torch.Tensor]:
        """h, (B, T, D), at boundaries from `block` on where only component k has been."""
        return [
            resize_width(states / self.scales[index][k], self.width)
            for index, states in enumerate(taken, start=block)
        ]

    def _postpone(
        self,
        k: int,
        block: int,
        entered: list[torch.Tensor],
        position_ids: torch.Tensor,
        cache: HybridCache,
    ) -> None:
        """Keep what entered blocks, from `block` on, for the components other than k."""
        for index, hidden_states in enumerate(entered, start=block):
            for other in range(len(self.runners)):
                if other != k:
                    cache.postpone(index, other, Missed(hidden_states, position_ids))

    def residual_type(self, k: int) -> torch.dtype | None:
        """The type of component k's residual stream; None where the component decides itself."""
        model = self.runners[k].model
        # In float32 itself, a component has nothing to decide.
        decides = getattr(model.config, "residual_in_fp32", False) and model.dtype != torch.float32
        return None if decides else model.dtype

    def _in_own_type(self, k: int, hidden_states: torch.Tensor) -> torch.Tensor:
        """Hidden states in the type that component k's residual stream has."""
        dtype = self.residual_type(k)
        return hidden_states if dtype is None else hidden_states.to(dtype)

    def _alone_into(self, boundary: int, k: int, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, T, d_k), h at a boundary, (B, T, D), as component k's own layers have it there."""
        own = resize_width(hidden_states, self.widths[k]) * self.scales[boundary][k]
        return self._in_own_type(k, own)

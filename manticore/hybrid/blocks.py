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

import torch
from torch import nn

from manticore.hybrid.boundaries import Boundary, BoundaryObserver
from manticore.hybrid.cache import HybridCache
from manticore.hybrid.folding import FoldedBlock
from manticore.hybrid.lone import LoneBlocks
from manticore.hybrid.mixture import PassWeights
from manticore.hybrid.projectors import resize_width
from manticore.hybrid.tokens import Missed, Tokens
from manticore.hybrid.weighted_sum import Term, weighted_sum


@dataclass(frozen=True)
class HybridBlocks(LoneBlocks):
    """The blocks: one pass of hidden states through them."""

    def embed(
        self, input_ids: torch.Tensor, position_ids: torch.Tensor, weights: PassWeights
    ) -> torch.Tensor:
        """h[0], (B, T, D): the mixed embeddings of all components.

        Args:
            input_ids: (B, T) token ids.
            position_ids: (B, T) or (1, T) positions.
            weights: The mixture weights of the pass.
        """
        mixed = []
        for k in weights.live(0):
            if self.started:
                embedded = self.started[k].embedded
            else:
                embedded = self.runners[k].embed(input_ids, position_ids)
            mixed.append((embedded, weights.weight(0, k) / self.scales[0][k]))
        return resize_width(weighted_sum(mixed), self.width)

    def states(
        self,
        hidden_states: torch.Tensor,
        weights: PassWeights,
        *,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: HybridCache | None = None,
        observer: BoundaryObserver | None = None,
        merge: bool = False,
    ) -> Iterator[torch.Tensor]:
        """Run the blocks one after the other, yielding h[1] to h[N], (B, T, D) each.

        Args:
            hidden_states: (B, T, D) h[0].
            weights: The mixture weights of the pass.
            position_ids: (B, T) or (1, T) positions of the T tokens.
            attention_mask: (B, past + T) padding mask, or None when nothing is padded.
            cache: The components' caches, or None.
            observer: Looks at every boundary. With an observer, components of weight zero run too.
            merge: Whether blocks in a row that one component does alone may run as one, without
                yielding what is between them.
        """
        tokens = Tokens(position_ids, attention_mask)
        block = 0
        while block < self.n_blocks:
            end = self._stretch(block, weights, cache) if merge and not self.started else block
            if end > block + 1:
                hidden_states = self._alone(block, end, hidden_states, weights, tokens, cache)
                block = end
            elif block in self.joints:
                hidden_states = self._folded(self.joints[block], hidden_states)
                block += 1
            else:
                hidden_states = self._joined(
                    block, hidden_states, weights, tokens, cache=cache, observer=observer
                )
                block += 1
            yield hidden_states

    def _folded(self, joints: FoldedBlock, hidden_states: torch.Tensor) -> torch.Tensor:
        """From h[b - 1] to h[b], (B, T, D), through folded joints."""
        entered = zip(joints.live, joints.enter(hidden_states), strict=True)
        return joints.leave([self.started[k].go_on(own) for k, own in entered])

    def _joined(
        self,
        block: int,
        hidden_states: torch.Tensor,
        weights: PassWeights,
        tokens: Tokens,
        *,
        cache: HybridCache | None,
        observer: BoundaryObserver | None,
    ) -> torch.Tensor:
        """From h[b - 1] to h[b], (B, T, D), through the components' blocks one by one."""
        mixed: list[Term] = []
        live = weights.live(block)
        for k in range(len(self.runners)):
            if k in live or observer is not None:
                passed = self._pass(
                    block, k, hidden_states, weights, tokens, cache=cache, observer=observer
                )
                if k in live:
                    mixed += passed
            elif weights.is_routed and cache is not None:
                cache.postpone(block, k, Missed(hidden_states, tokens.position_ids))
        return resize_width(weighted_sum(mixed), self.width)

    def _pass(
        self,
        block: int,
        k: int,
        hidden_states: torch.Tensor,
        weights: PassWeights,
        tokens: Tokens,
        *,
        cache: HybridCache | None,
        observer: BoundaryObserver | None,
    ) -> list[Term]:
        """From h[b - 1], (B, T, D), to what block[b, k] adds to h[b]: states and their weights.

        The component's block takes in the tokens that it has missed, and then those of the pass up
        to the last with a weight above zero.
        """
        alone = weights.live(block) == [k]
        n_tokens = hidden_states.shape[1]
        extent = n_tokens if observer is not None else weights.extent(block, k, n_tokens)
        weight = weights.weight(block, k, extent)
        gate = weight if self.gate_power == 1 else weight**self.gate_power
        missed = None if cache is None else cache.missed(block, k)
        if extent < n_tokens:
            if cache is not None:
                later = hidden_states[:, extent:]
                cache.postpone(block, k, Missed(later, tokens.position_ids[:, extent:]))
            hidden_states = hidden_states[:, :extent]
            tokens = tokens.until(n_tokens - extent)
        if observer is not None and not alone:
            observer.before_entering(block, k, hidden_states, float(gate))
        own = self._enter(block, k, hidden_states, gate, alone)
        entering = own
        if missed is not None:
            # What a component has missed had no weight, so that the gate was closed.
            earlier = self._enter(block, k, missed.hidden_states, gate.new_zeros(()), alone=False)
            entering = torch.cat([earlier, own], dim=1)
            tokens = tokens.after(missed)
        if self.started:
            leaving = self.started[k].go_on(entering)
        else:
            start, stop = self.cuts[k][block : block + 2]
            leaving = self.runners[k].run(
                start,
                stop,
                entering,
                attention_mask=tokens.attention_mask,
                position_ids=tokens.position_ids,
                cache=None if cache is None else cache.block(k, start, stop, missed),
            )[:, -extent:]
        if observer is not None:
            scaled = leaving / self.scales[block + 1][k]
            if not alone:
                observer.before_leaving(block, k, scaled, float(gate))
            whole = self._leave(block, k, leaving, gate, gate.new_ones(()), alone)
            contribution = resize_width(weighted_sum(whole), self.width)
            entered = own / self.scales[block][k]
            observer.passed(Boundary(block, k, entered, scaled, contribution))
        added = self._leave(block, k, leaving, gate, weight, alone)
        if extent == n_tokens:
            return added
        later = (0, 0, 0, n_tokens - extent)
        return [(nn.functional.pad(weighted_sum(added), later), gate.new_ones(()))]

    def _enter(
        self, block: int, k: int, hidden_states: torch.Tensor, gate: torch.Tensor, alone: bool
    ) -> torch.Tensor:
        """u[b, k], (B, T, d_k), from h[b - 1], (B, T, D)."""
        if alone:
            return self._alone_into(block, k, hidden_states)
        entering, scale = resize_width(hidden_states, self.widths[k]), self.scales[block][k]
        projected = self.projectors.into_block(block, k)(hidden_states)
        terms = [(projected, (1 - gate) * scale), (entering, gate * scale)]
        return self._in_own_type(k, weighted_sum(terms))

    def _leave(
        self,
        block: int,
        k: int,
        leaving: torch.Tensor,
        gate: torch.Tensor,
        weight: torch.Tensor,
        alone: bool,
    ) -> list[Term]:
        """What leaves the layers of block[b, k], (B, T, d_k), as terms of h[b]."""
        scale = self.scales[block + 1][k]
        if alone:
            return [(leaving, weight / scale)]
        projected = self.projectors.out_of_block(block, k)(leaving / scale)
        return [(projected, weight * (1 - gate)), (leaving, weight * gate / scale)]

    def own_logits(self, k: int, hidden_states: torch.Tensor, vocab_size: int) -> torch.Tensor:
        """(B, T, V), the logits of component k's head on h[N], (B, T, D)."""
        own = self._alone_into(self.n_blocks, k, hidden_states)
        # A forward that has begun with all tokens of the pass ends with as many.
        started = self.started.get(k)
        whole = started is not None and started.embedded.shape[1] == own.shape[1]
        logits = started.go_on(own) if started and whole else self.runners[k].head(own)
        return logits[..., :vocab_size]

    def normalized(self, k: int, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, T, d), what component k's head takes, from h[N], (B, T, D)."""
        return self.runners[k].normalized(self._alone_into(self.n_blocks, k, hidden_states))

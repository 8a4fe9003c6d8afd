"""Joints of blocks as one product each, where nothing is learned.

Where mixture weights are fixed and projectors are affine, all that a block's entrance does is an
affine map of h[b - 1], and all that its exit does is one of v[b, k] (the maths is in
`hybrid.blocks`):

    u[b,k] = s[b-1,k] * ((1 - a) * W_in[b,k] + a * trunc_k) h[b-1]                  + bias
    h[b]   = sum_k alpha[b,k] / s[b,k] * ((1 - a) * W_out[b,k] + a * pad) u'[b,k]   + bias

The entrances of all components are stacked into one product, and so are the exits, whose sum over
the components is then part of the product. For one token, that replaces some twenty small
operations per component and block by two products and a concatenation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from manticore.hybrid.mixture import PassWeights
from manticore.hybrid.projectors import LinearProjector

if TYPE_CHECKING:
    from manticore.hybrid.blocks import HybridBlocks


@dataclass(frozen=True)
class FoldedBlock:
    """The joints of one block, in which several components take part.

    Attributes:
        live: Indices of these components.
        widths: Their widths, d_k.
        into: (sum of d_k, D) weight and (sum of d_k,) bias: from h[b - 1] to all u[b, k].
        out_of: (D, sum of d_k) weight and (D,) bias: from what leaves all components to h[b].
    """

    live: list[int]
    widths: list[int]
    into: tuple[torch.Tensor, torch.Tensor]
    out_of: tuple[torch.Tensor, torch.Tensor]

    def enter(self, hidden_states: torch.Tensor) -> Sequence[torch.Tensor]:
        """u[b, k], (B, T, d_k), of all components, from h[b - 1], (B, T, D)."""
        return nn.functional.linear(hidden_states, *self.into).split(self.widths, dim=-1)

    def leave(self, leaving: Sequence[torch.Tensor]) -> torch.Tensor:
        """h[b], (B, T, D), from what leaves the components' layers, (B, T, d_k)."""
        return nn.functional.linear(torch.cat(list(leaving), dim=-1), *self.out_of)


class FoldedJoints:
    """The joints of those blocks in which several components take part, as they were when folded.

    Args:
        blocks: The hybrid's parts.
        weights: Fixed mixture weights.
    """

    def __init__(self, blocks: "HybridBlocks", weights: PassWeights) -> None:
        self._alpha = weights.alpha
        self._sources = [weights.alpha, *blocks.projectors.parameters()]
        self._versions = [source._version for source in self._sources]
        self.by_block = {
            block: _folded(blocks, block, weights)
            for block in range(blocks.n_blocks)
            if len(weights.live(block)) > 1
        }

    def hold(self, weights: PassWeights) -> bool:
        """Whether they are those of a pass: neither mixture weights nor projectors have changed.

        Args:
            weights: The mixture weights of the pass.
        """
        if weights.alpha is not self._alpha:
            return False
        return all(
            source._version == version
            for source, version in zip(self._sources, self._versions, strict=True)
        )


def can_fold(blocks: "HybridBlocks", weights: PassWeights) -> bool:
    """Whether the joints are affine maps of one data type, and nothing is to be learned.

    Args:
        blocks: The hybrid's parts.
        weights: The mixture weights of the pass.
    """
    if weights.is_routed or torch.is_grad_enabled():
        return False
    dtypes = {blocks.residual_type(k) for k in range(len(blocks.runners))}
    for projector in blocks.projectors.each():
        # An adapter around the layer makes it a layer of another type.
        if type(projector) is not LinearProjector or type(projector.linear) is not nn.Linear:
            return False
        dtypes.add(projector.linear.weight.dtype)
    return len(dtypes) == 1


def _folded(blocks: "HybridBlocks", block: int, weights: PassWeights) -> FoldedBlock:
    live = weights.live(block)
    widths = [blocks.widths[k] for k in live]
    alpha = weights.alpha[block].tolist()
    # In float32, whatever type the projectors have: half precision would round twice.
    kind = {"dtype": torch.float32, "device": weights.alpha.device}
    into = (torch.empty(sum(widths), blocks.width, **kind), torch.empty(sum(widths), **kind))
    out_of = (torch.empty(blocks.width, sum(widths), **kind), torch.zeros(blocks.width, **kind))
    rows = accumulate(widths, initial=0)
    for k, (start, stop) in zip(live, pairwise(rows), strict=True):
        gate = alpha[k] ** blocks.gate_power
        scale = blocks.scales[block][k]
        entrance = blocks.projectors.into_block(block, k).linear
        _fold(entrance.weight, scale, gate, into[0][start:stop])
        torch.mul(entrance.bias.float(), scale * (1 - gate), out=into[1][start:stop])
        scale = alpha[k] / blocks.scales[block + 1][k]
        way_out = blocks.projectors.out_of_block(block, k).linear
        _fold(way_out.weight, scale, gate, out_of[0][:, start:stop])
        # What leaves is divided by its size before the bias is added.
        out_of[1].add_(way_out.bias.float(), alpha=alpha[k] * (1 - gate))
    dtype = blocks.runners[live[0]].model.dtype
    into, out_of = ((weight.to(dtype), bias.to(dtype)) for weight, bias in (into, out_of))
    return FoldedBlock(live, widths, into, out_of)


def _fold(weight: torch.Tensor, scale: float, gate: float, folded: torch.Tensor) -> None:
    """Write scale * ((1 - gate) * weight + gate * padding or cutting)."""
    torch.mul(weight.float(), scale * (1 - gate), out=folded)
    folded.diagonal().add_(scale * gate)

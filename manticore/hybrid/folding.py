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
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import nn

from manticore.hybrid.mixture import PassWeights
from manticore.hybrid.projectors import LinearProjector, Projector

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
        weights: Settled mixture weights.
    """

    def __init__(self, blocks: "HybridBlocks", weights: PassWeights) -> None:
        self._projectors = blocks.projectors
        self._alpha = _Tensor.of(weights.alpha)
        self._linears = [
            (one, one.linear, _Tensor.of(one.linear.weight), _Tensor.of(one.linear.bias))
            for one in cast("list[LinearProjector]", blocks.projectors.each())
        ]
        self.by_block = {
            block: _folded(blocks, block, weights)
            for block in range(blocks.n_blocks)
            if len(weights.live(block)) > 1
        }

    def hold(self, blocks: "HybridBlocks", weights: PassWeights) -> bool:
        """Whether they are those of a pass: what they were folded from is there, and unchanged.

        Asked for every token, so that it takes the shortest way to each weight.

        Args:
            blocks: The hybrid's parts.
            weights: The mixture weights of the pass.
        """
        if blocks.projectors is not self._projectors or not self._alpha.is_still(weights.alpha):
            return False
        return all(
            projector._modules["linear"] is linear
            and weight.is_still(linear._parameters["weight"])
            and bias.is_still(linear._parameters["bias"])
            and not (_is_hooked(projector) or _is_hooked(linear))
            for projector, linear, weight, bias in self._linears
        )


class _Tensor(NamedTuple):
    """A tensor as it was."""

    tensor: torch.Tensor
    version: int
    place: int

    @classmethod
    def of(cls, tensor: torch.Tensor) -> "_Tensor":
        return cls(tensor, tensor._version, tensor.data_ptr())

    def is_still(self, now: torch.Tensor | None) -> bool:
        """Whether a tensor is this one, with the values that it had."""
        if now is None or now is not self.tensor:
            return False
        return now._version == self.version and now.data_ptr() == self.place


def folded_joints(
    blocks: "HybridBlocks", weights: PassWeights, known: FoldedJoints | None
) -> FoldedJoints | None:
    """The joints of a pass; None where they cannot be folded.

    They can where mixture weights are settled, no gradient is kept, and projectors are affine maps
    that nobody has changed: an adapter around one, or a hook on it, still acts. Under autocast,
    products would be in half precision that sums are not in.

    Args:
        blocks: The hybrid's parts.
        weights: The mixture weights of the pass.
        known: Joints that were folded before, if any.
    """
    alpha = weights.alpha
    settled = isinstance(alpha, nn.Parameter) and not alpha.requires_grad
    if not settled or torch.is_grad_enabled() or torch.is_autocast_enabled(alpha.device.type):
        return None
    if known is not None and known.hold(blocks, weights):
        return known
    return FoldedJoints(blocks, weights) if _can_fold(blocks, alpha) else None


def _can_fold(blocks: "HybridBlocks", alpha: torch.Tensor) -> bool:
    kinds = {(blocks.residual_type(k), alpha.device) for k in range(len(blocks.runners))}
    tensors = [alpha]
    for projector in blocks.projectors.each():
        if type(projector) is not LinearProjector or type(projector.linear) is not nn.Linear:
            return False
        if _is_hooked(projector) or _is_hooked(projector.linear):
            return False
        kinds.add((projector.linear.weight.dtype, projector.linear.weight.device))
        tensors += projector.linear.parameters()
    # Without a counter of versions, a change would not be seen.
    return len(kinds) == 1 and not any(tensor.is_inference() for tensor in tensors)


def _is_hooked(module: nn.Module) -> bool:
    hooks = module._forward_hooks or module._forward_pre_hooks
    return bool(hooks) or "forward" in module.__dict__


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
        entrance = _linear(blocks.projectors.into_block(block, k))
        _fold(entrance.weight, scale, gate, into[0][start:stop])
        torch.mul(entrance.bias.float(), scale * (1 - gate), out=into[1][start:stop])
        scale = alpha[k] / blocks.scales[block + 1][k]
        way_out = _linear(blocks.projectors.out_of_block(block, k))
        _fold(way_out.weight, scale, gate, out_of[0][:, start:stop])
        # What leaves is divided by its size before the bias is added.
        out_of[1].add_(way_out.bias.float(), alpha=alpha[k] * (1 - gate))
    dtype = blocks.runners[live[0]].model.dtype
    into, out_of = ((weight.to(dtype), bias.to(dtype)) for weight, bias in (into, out_of))
    return FoldedBlock(live, widths, into, out_of)


def _linear(projector: Projector) -> nn.Linear:
    return cast("LinearProjector", projector).linear


def _fold(weight: torch.Tensor, scale: float, gate: float, folded: torch.Tensor) -> None:
    """Write scale * ((1 - gate) * weight + gate * padding or cutting)."""
    torch.mul(weight.float(), scale * (1 - gate), out=folded)
    folded.diagonal().add_(scale * gate)

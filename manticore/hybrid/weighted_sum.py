"""Sums of hidden states times mixture weights, without a copy of the states for each product.

Hidden states and logits are the largest tensors of a hybrid, and joining components is nothing but
such sums. Written as products and additions, each term is stored twice on the way and twice on the
way back. Here the terms are added up in place, and the gradient of a weight is a dot product.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

Term = tuple[torch.Tensor, torch.Tensor]
"""States, (B, T, d), and their weight, () or (B, T, 1)."""
_PART = 2**18
"""Numbers in a part of a dot product."""


def weighted_sum(terms: Sequence[Term]) -> torch.Tensor:
    """The sum of states times weights, (B, T, D), in the widest type of the states.

    Args:
        terms: States with their weights. Those narrower than D, the width of the widest, are padded
            with zeros.
    """
    states, weights = zip(*terms, strict=True)
    return _WeightedSum.apply(len(terms), *states, *weights)


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, n_terms: int, *tensors: torch.Tensor) -> torch.Tensor:
        states, weights = tensors[:n_terms], tensors[n_terms:]
        ctx.n_terms = n_terms
        ctx.states = [(one.shape[-1], one.dtype) for one in states]
        learning = ctx.needs_input_grad[1 + n_terms :]
        kept = [one for one, learns in zip(states, learning, strict=True) if learns]
        ctx.save_for_backward(*weights, *kept)
        dtype = states[0].dtype
        for one in states[1:]:
            dtype = torch.promote_types(dtype, one.dtype)
        width = max(one.shape[-1] for one in states)
        # The first term begins the sum; a narrower one begins it with zeros behind.
        total = (weights[0] * states[0]).to(dtype)
        if total.shape[-1] < width:
            total = nn.functional.pad(total, (0, width - total.shape[-1]))
        for one, weight in zip(states[1:], weights[1:], strict=True):
            part = total[..., : one.shape[-1]]
            if weight.dtype == one.dtype == dtype and weight.device == one.device:
                part.addcmul_(one, weight)
            else:
                # A product in half precision would round the weight first.
                part.add_(weight * one)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        n_terms = ctx.n_terms
        weights, kept = ctx.saved_tensors[:n_terms], list(ctx.saved_tensors[n_terms:])
        of_states: list[torch.Tensor | None] = []
        of_weights: list[torch.Tensor | None] = []
        for index, (weight, (width, dtype)) in enumerate(zip(weights, ctx.states, strict=True)):
            own = gradient[..., :width]
            learns = ctx.needs_input_grad[1 + index]
            of_states.append((weight * own).to(dtype) if learns else None)
            learns = ctx.needs_input_grad[1 + n_terms + index]
            of_weights.append(_of_weight(own, kept.pop(0), weight) if learns else None)
        return (None, *of_states, *of_weights)


def _of_weight(gradient: torch.Tensor, states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The gradient of a weight, () or (B, T, 1)."""
    dtype = weight.dtype
    if weight.ndim:
        return (gradient * states).sum(-1, keepdim=True, dtype=dtype).to(dtype)
    # Part by part: one dot product of all would round too much, and copy what is not in one piece.
    rows = max(1, _PART // states.shape[-1])
    parts = zip(gradient.flatten(0, -2).split(rows), states.flatten(0, -2).split(rows), strict=True)
    dots = [torch.dot(g.reshape(-1).to(dtype), s.reshape(-1).to(dtype)) for g, s in parts]
    return torch.stack(dots).sum()

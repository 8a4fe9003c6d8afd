"""The components' own heads, mixed: their logits, or the probabilities that these stand for."""

from collections.abc import Sequence
from functools import reduce

import torch

from manticore.hybrid.weighted_sum import Term, weighted_sum

_TINY = torch.finfo(torch.float32).tiny
"""Stands for a weight of zero, whose logarithm has no gradient."""


def mixed_heads(terms: Sequence[Term], head: str, dtype: torch.dtype) -> torch.Tensor:
    """(..., V), what the components' own heads give together.

    Args:
        terms: (..., V) logits of each component that takes part, with its mixture weight.
        head: "mixture" mixes probabilities, any other logits.
        dtype: Type of the hidden states, which a mixture of probabilities has too.
    """
    if head == "mixture":
        return _mixed_probabilities(terms, dtype)
    return weighted_sum(list(terms))


def _mixed_probabilities(terms: Sequence[Term], dtype: torch.dtype) -> torch.Tensor:
    """(..., V), logits of the mixture of the components' own probabilities.

        log sum_k alpha[B, k] * softmax(logits_k) + sum_k alpha[B, k] * logsumexp(logits_k)

    The second term changes no probability; with it, a component of weight one keeps its logits.
    """
    if len(terms) == 1:
        return terms[0][0]
    mixed, normalizers = [], []
    for own, weight in terms:
        logits = own.float()
        normalizer = logits.logsumexp(dim=-1, keepdim=True)
        mixed.append(logits - normalizer + weight.clamp_min(_TINY).log())
        normalizers.append(weight * normalizer)
    logits = reduce(torch.logaddexp, mixed) + reduce(torch.add, normalizers)
    return logits.to(dtype)

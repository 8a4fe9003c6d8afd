"""The components' own heads, mixed: their logits, or their next-token probabilities."""

from functools import reduce

import torch

from manticore.hybrid.blocks import HybridBlocks
from manticore.hybrid.mixture import PassWeights
from manticore.hybrid.weighted_sum import weighted_sum

_TINY = torch.finfo(torch.float32).tiny
"""Stands for a weight of zero, whose logarithm has no gradient."""


def mixed_logits(
    blocks: HybridBlocks, hidden_states: torch.Tensor, weights: PassWeights, vocab_size: int
) -> torch.Tensor:
    """(B, T, V), the mixed logits of the components' own heads.

    Args:
        blocks: The hybrid's parts.
        hidden_states: (B, T, D) h[N].
        weights: The mixture weights of these tokens.
        vocab_size: V, the size of the hybrid's vocabulary.
    """
    last = blocks.n_blocks - 1
    return weighted_sum(
        [
            (blocks.own_logits(k, hidden_states, vocab_size), weights.weight(last, k))
            for k in weights.live(last)
        ]
    )


def mixed_probabilities(
    blocks: HybridBlocks, hidden_states: torch.Tensor, weights: PassWeights, vocab_size: int
) -> torch.Tensor:
    """(B, T, V), logits of the mixture of the components' own next-token probabilities.

        log sum_k alpha[B, k] * softmax(logits_k) + sum_k alpha[B, k] * logsumexp(logits_k)

    The second term changes no probability; with it, a component of weight one keeps its logits.

    Args:
        blocks: The hybrid's parts.
        hidden_states: (B, T, D) h[N].
        weights: The mixture weights of these tokens.
        vocab_size: V, the size of the hybrid's vocabulary.
    """
    last = blocks.n_blocks - 1
    live = weights.live(last)
    if len(live) == 1:
        return blocks.own_logits(live[0], hidden_states, vocab_size)
    mixed, normalizers = [], []
    for k in live:
        weight = weights.weight(last, k)
        own = blocks.own_logits(k, hidden_states, vocab_size).float()
        normalizer = own.logsumexp(dim=-1, keepdim=True)
        mixed.append(own - normalizer + weight.clamp_min(_TINY).log())
        normalizers.append(weight * normalizer)
    logits = reduce(torch.logaddexp, mixed) + reduce(torch.add, normalizers)
    return logits.to(hidden_states.dtype)

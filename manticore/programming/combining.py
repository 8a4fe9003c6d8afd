"""From mixture weights found on tasks to those of the target: by weight, the best, or by length."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

LEAST_WEIGHT = 1e-3
"""Smallest mixture weight when logarithms are fitted."""


def weighted_mean(alphas: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Weighted mean of mixture weights (N, K) each: again on the simplex, in float64."""
    total = sum(weights)
    terms = [weight / total * alpha.double() for weight, alpha in zip(weights, alphas, strict=True)]
    mean = torch.stack(terms).sum(dim=0)
    return mean / mean.sum(dim=1, keepdim=True)


def above_chance(accuracy: float, chance: float) -> float:
    """Accuracy above chance, as a share of what chance leaves open: 1 = perfect, 0 = chance."""
    return max(0.0, accuracy - chance) / (1 - chance) if chance < 1 else 0.0


def best_task(learned: Mapping[str, float], weights: Mapping[str, float]) -> str:
    """The task learned best: by accuracy above chance times weight, and then by weight.

    Args:
        learned: Accuracy above chance of each task (see `above_chance`), as chance differs.
        weights: Weight of each task.
    """
    return max(learned, key=lambda task: (learned[task] * weights[task], weights[task]))


@dataclass(frozen=True)
class LengthFit:
    """Mixture weights as a function of sequence length.

    Each row is a softmax of numbers that are linear in the logarithm of the length.

    Attributes:
        intercepts: Numbers (N, K) at length 1; minus infinity for a component that has no weight in
            the block at any length.
        slopes: Change of these numbers (N, K) when the length doubles.
    """

    intercepts: torch.Tensor
    slopes: torch.Tensor

    def at(self, length: int) -> torch.Tensor:
        """Mixture weights (N, K) for a length in tokens."""
        return torch.softmax(self.intercepts + self.slopes * math.log2(length), dim=1)


def fit_lengths(lengths: Sequence[int], alphas: Sequence[torch.Tensor]) -> LengthFit:
    """Fit mixture weights found at several lengths, by least squares on their logarithms.

    Args:
        lengths: Two or more different lengths, in tokens.
        alphas: Mixture weights (N, K) at each length.
    """
    logs = torch.tensor([math.log2(length) for length in lengths], dtype=torch.float64)
    wanted = torch.stack([alpha.double().clamp_min(LEAST_WEIGHT).log() for alpha in alphas])
    # A row of a softmax does not change when a number is added to all of its entries.
    wanted = wanted - wanted.mean(dim=2, keepdim=True)  # (lengths, N, K)
    inputs = torch.stack([torch.ones_like(logs), logs], dim=1)
    solution = torch.linalg.lstsq(inputs, wanted.flatten(1)).solution.view(2, *wanted.shape[1:])
    intercepts, slopes = solution
    nowhere = torch.stack([alpha == 0 for alpha in alphas]).all(dim=0)
    return LengthFit(intercepts.masked_fill(nowhere, -math.inf), slopes)

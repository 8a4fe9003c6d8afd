"""From mixture weights found on tasks to those of the target: by skill, the best, or by length."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

LEAST_WEIGHT = 1e-3
"""Taken for a weight that is below it where logarithms are fitted."""


def weighted_mean(alphas: Sequence[torch.Tensor], skills: Sequence[float]) -> torch.Tensor:
    """The mean of mixture weights (N, K) each, by skill: on the simplex again, in float64."""
    total = sum(skills)
    mean = sum(skill / total * alpha.double() for skill, alpha in zip(skills, alphas, strict=True))
    return mean / mean.sum(dim=1, keepdim=True)


def above_guessing(accuracy: float, guessing: float) -> float:
    """How much of what guessing leaves open was learned: 1 all of it, 0 nothing."""
    return max(0.0, accuracy - guessing) / (1 - guessing) if guessing < 1 else 0.0


def best_task(learned: Mapping[str, float], skills: Mapping[str, float]) -> str:
    """The task done best: of the greatest share learned, times its skill; then of greatest skill.

    Args:
        learned: See `above_guessing`, as some tasks are easier to guess than others.
        skills: How much the person cares for each.
    """
    return max(learned, key=lambda task: (learned[task] * skills[task], skills[task]))


@dataclass(frozen=True)
class LengthFit:
    """Mixture weights as a function of sequence length.

    Each row is a softmax of numbers that are linear in the logarithm of the length.

    Attributes:
        intercepts, slopes: (N, K); a slope is per doubling of the length. An intercept of minus
            infinity is of a component that has no weight in the block at any length.
    """

    intercepts: torch.Tensor
    slopes: torch.Tensor

    def at(self, length: int) -> torch.Tensor:
        """Mixture weights (N, K) for a length in tokens."""
        return torch.softmax(self.intercepts + self.slopes * math.log2(length), dim=1)


def fit_lengths(lengths: Sequence[int], alphas: Sequence[torch.Tensor]) -> LengthFit:
    """Fit mixture weights found at several lengths, by least squares on their logarithms.

    Args:
        lengths: Two or more, in tokens, no two alike.
        alphas: (N, K) for each.
    """
    logs = torch.tensor([math.log2(length) for length in lengths], dtype=torch.float64)
    wanted = torch.stack([alpha.double().clamp_min(LEAST_WEIGHT).log() for alpha in alphas])
    # A row of a softmax is the same whatever is added to all of its numbers.
    wanted = wanted - wanted.mean(dim=2, keepdim=True)  # (lengths, N, K)
    inputs = torch.stack([torch.ones_like(logs), logs], dim=1)
    solution = torch.linalg.lstsq(inputs, wanted.flatten(1)).solution.view(2, *wanted.shape[1:])
    intercepts, slopes = solution
    nowhere = torch.stack([alpha == 0 for alpha in alphas]).all(dim=0)
    return LengthFit(intercepts.masked_fill(nowhere, -math.inf), slopes)

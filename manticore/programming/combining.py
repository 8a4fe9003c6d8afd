"""From mixture weights found on tasks to those of the target: by weight, the best, or by length."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from manticore.config.programming import Combination, ProgramConfig, TaskSearch

Found = Mapping[str, Mapping[str, Any]]
"""By name of the search, its result."""

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


def combine(options: ProgramConfig, found: Found) -> dict[str, Any]:
    """The mixture weights for the target, with what they were made from.

    Args:
        options: Options of programming; their tasks have the weights.
        found: Results of at least the searches of these tasks, by name: each with its `accuracy`,
            the chance accuracy as `guessing`, and its `mixture_weights` (N, K).
    """
    searches = options.searches()
    learned: dict[str, list[float]] = {}
    for search in searches:
        result = found[search.name]
        share = above_chance(result["accuracy"], result["guessing"])
        learned.setdefault(search.setting.task, []).append(share)
    best = best_task({task: fmean(own) for task, own in learned.items()}, options.tasks)
    if options.target_length is None:
        combined = _combined(searches, found, best)
        alpha = combined[options.combine]
        return {"mixture_weights": alpha, "best_task": best, "combined": combined}
    by_length = {}
    for length in options.lengths:
        own = [search for search in searches if search.setting.length == length]
        by_length[length] = _combined(own, found, best)[options.combine]
    fit = fit_lengths(options.lengths, [torch.tensor(alpha) for alpha in by_length.values()])
    return {
        "mixture_weights": fit.at(options.target_length).tolist(),
        "best_task": best,
        "target_length": options.target_length,
        "lengths": {str(length): alpha for length, alpha in by_length.items()},
        "length_fit": {"intercepts": fit.intercepts.tolist(), "slopes": fit.slopes.tolist()},
    }


def _combined(
    searches: Sequence[TaskSearch], found: Found, best: str
) -> dict[Combination, list[list[float]]]:
    """Both combinations of the results of searches at one length."""
    alphas = {search.setting.task: found[search.name]["mixture_weights"] for search in searches}
    tensors = [torch.tensor(alpha) for alpha in alphas.values()]
    mean = weighted_mean(tensors, [search.weight for search in searches])
    return {"mean": mean.tolist(), "best": alphas[best]}

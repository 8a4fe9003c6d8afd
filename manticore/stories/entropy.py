"""The entropy of the stories: the mean of exact surprisals, with its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from manticore.stories.generator import Story, sample_stories

SAMPLE = 2000  # stories


@dataclass(frozen=True)
class Entropy:
    """An entropy in nats.

    Attributes:
        nats: Mean of the surprisals, per `unit`.
        standard_error: Its standard error, in the same unit.
        n: Number of independent stories that it was measured on.
        unit: "nats per story" or "nats per token".
    """

    nats: float
    standard_error: float
    n: int
    unit: str

    def __float__(self) -> float:
        return self.nats

    def __str__(self) -> str:
        return f"{self.nats:.4f} ± {self.standard_error:.4f} {self.unit}"


def entropy_stories(language: str, *, n: int = SAMPLE, seed: int = 0) -> list[Story]:
    """Stories to measure an entropy on, from a stream that no data set uses.

    Args:
        language: Language of the stories (see `sample_stories`).
        n: Number of stories.
        seed: Random seed.

    Raises:
        ValueError: Unknown language, or n < 2.
    """
    if n < 2:
        raise ValueError(f"n={n} is too small. Use at least 2 stories for a standard error.")
    return list(sample_stories(language, n_stories=n, seed=seed, stream="entropy"))


def story_entropy(language: str, *, n: int = SAMPLE, seed: int = 0) -> Entropy:
    """Entropy of one story in nats; arguments and errors as for `entropy_stories`."""
    stories = entropy_stories(language, n=n, seed=seed)
    return entropy_per_unit(stories, [1] * n, "nats per story")


def entropy_per_unit(stories: Sequence[Story], units: Sequence[int], unit: str) -> Entropy:
    """E[nats of a story] / E[units of a story] with its standard error (delta method).

    Args:
        stories: Stories with their surprisals.
        units: Number of units of each story.
        unit: Name of the quotient.
    """
    n = len(stories)
    mean = sum(units) / n
    ratio = sum(story.nats for story in stories) / n / mean
    residuals = (s.nats - ratio * u for s, u in zip(stories, units, strict=True))
    variance = sum(residual**2 for residual in residuals) / (n - 1)
    return Entropy(ratio, math.sqrt(variance / n) / mean, n, unit)

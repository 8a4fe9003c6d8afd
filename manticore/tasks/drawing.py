"""What the generators of tasks have in common.

One function makes a whole data set: `generate(setting, draw)` gives inputs and targets, integers.
Where tokens are predicted, both are (N, T): `targets[:, t]` is the token that the output at
position t is scored on (it may see inputs up to t), and -100 where it is not scored. Where
sequences are classified, targets are labels, (N,), and inputs are (N, T), or (N, 2, T) for pairs,
with -100 for padding at the end. The distributions of MAD's tasks are those of the code that was
published with it (arXiv 2403.17844), with the departures that each generator names.

The recall tasks train on the next token everywhere and are tested on the probed positions; the
other tasks score the same positions in training and in testing.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from manticore.config.setting import Setting

IGNORED = -100
"""Target of a position that is not scored."""
BLOCK_TOKENS = 1 << 15
"""Tokens that are generated at a time."""
Part = Literal["train", "valid", "test"]
"""What a data set is for."""
Arrays = tuple[np.ndarray, np.ndarray]
"""Inputs and targets."""
S = TypeVar("S", bound=Setting)


@dataclass(frozen=True)
class Draw:
    """One data set to generate.

    Attributes:
        n_examples: Number of examples N, 1 or more.
        part: What it is for: to `train` on, to choose by (`valid`), or to `test` on.
        rng: Random numbers of this data set.
        shared: Seed of what all data sets of the task have in common, in whichever order they are
            generated.
    """

    n_examples: int
    part: Part
    rng: np.random.Generator
    shared: np.random.SeedSequence

    @property
    def training(self) -> bool:
        """Whether it is for training."""
        return self.part == "train"


def in_blocks(generate: Callable[[S, Draw], Arrays]) -> Callable[[S, Draw], Arrays]:
    """Generate a data set some hundred examples at a time, so that intermediates stay in cache.

    This is two to four times as fast as all at once, and bounds the memory in addition to the
    result.
    """

    @functools.wraps(generate)
    def generate_all(setting: S, draw: Draw) -> Arrays:
        size = max(1, BLOCK_TOKENS // setting.length)
        whole: Arrays | None = None
        for start in range(0, draw.n_examples, size):
            n_examples = min(size, draw.n_examples - start)
            block = generate(setting, replace(draw, n_examples=n_examples))
            if whole is None:
                inputs, targets = (np.empty((draw.n_examples, a.shape[1]), a.dtype) for a in block)
                whole = inputs, targets
            for array, part in zip(whole, block, strict=True):
                array[start : start + n_examples] = part
        if whole is None:
            raise ValueError(f"A data set has {draw.n_examples} examples: give 1 or more.")
        return whole

    return generate_all


def next_token_examples(sequence: np.ndarray, scored: np.ndarray, training: bool) -> Arrays:
    """Inputs and targets (N, T) of sequences that are learned token by token.

    Args:
        sequence: Tokens (N, T + 1).
        scored: Which of them are scored in testing (N, T + 1).
        training: Whether all of them are scored.
    """
    targets = sequence if training else np.where(scored, sequence, IGNORED)
    return sequence[:, :-1], targets[:, 1:]

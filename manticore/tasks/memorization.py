"""Memorization: which value belongs to this key, in all sequences alike?"""

from typing import Self

import numpy as np
from pydantic import PositiveInt, model_validator

from manticore.config.setting import Setting
from manticore.tasks.counting import beyond_chance, entropy
from manticore.tasks.drawing import IGNORED, Arrays, Draw
from manticore.tasks.limits import require_even_length, require_vocabulary
from manticore.tasks.task import Task


class Memorization(Setting, frozen=True):
    """Setting of memorization."""

    vocabulary: PositiveInt = 256
    length: PositiveInt = 32
    train_examples: PositiveInt = 256

    @model_validator(mode="after")
    def _can_be_generated(self) -> Self:
        """Every key has its insert token, and there is a key and a value."""
        require_even_length(self, least=2)
        require_vocabulary(self, 3, "a key, a value and the insert token")
        return self


def _generate(setting: Memorization, draw: Draw) -> Arrays:
    """Keys in a row, each followed by an insert token (the vocabulary's last) with its value.

    The map from keys (first half of the vocabulary) to values (second half, all different) is the
    same in all examples, of training and of testing, and its values are never shown. The target at
    an insert token is the value of the key before it. T = length.
    """
    n, n_tokens = draw.n_examples, setting.vocabulary - 1
    n_keys = n_tokens // 2
    value_of = n_keys + np.random.default_rng(draw.shared).permutation(n_tokens - n_keys)
    keys = draw.rng.integers(n_keys, size=(n, setting.length // 2))
    inputs = np.full((n, setting.length), setting.vocabulary - 1)
    targets = np.full((n, setting.length), IGNORED)
    inputs[:, ::2] = keys
    targets[:, 1::2] = value_of[keys]
    return inputs, targets


def _tokens(setting: Memorization) -> list[tuple[str, int]]:
    n_tokens = setting.vocabulary - 1
    return [("key", n_tokens // 2), ("value", n_tokens - n_tokens // 2), ("insert", 1)]


def memorable(ids: np.ndarray, vocabulary: int) -> float:
    """Share of the entropy of single tokens that is gone once the preceding token is known."""
    alone = entropy(ids[:, 1:])
    joint = entropy(ids[:, :-1] * vocabulary + ids[:, 1:])
    return (alone + entropy(ids[:, :-1]) - joint) / max(alone, 1e-9)


TASK = Task(
    setting=Memorization,
    generate=_generate,
    axes={"vocabulary": (512, 1024, 2048, 4096, 8192)},
    quick={"vocabulary": 64, "test_examples": 128},
    example={"vocabulary": 9, "length": 10},
    tokens=_tokens,
    paper={"vocabulary": 8192},
    weight_in_text=beyond_chance(memorable),
)

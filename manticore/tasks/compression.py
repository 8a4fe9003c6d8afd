"""Compression: the whole sequence, from the last position alone."""

from typing import Self

import numpy as np
from pydantic import PositiveInt, model_validator

from manticore.config.setting import Setting
from manticore.tasks.counting import entropy
from manticore.tasks.drawing import Arrays, Draw
from manticore.tasks.limits import require_vocabulary
from manticore.tasks.sizes import QUICK, TRAIN_EXAMPLES, VOCABULARIES
from manticore.tasks.task import Task


class Compression(Setting, frozen=True):
    """Setting of compression."""

    vocabulary: PositiveInt = 16
    length: PositiveInt = 32

    @model_validator(mode="after")
    def _can_be_generated(self) -> Self:
        """There is something to compress."""
        require_vocabulary(self, 3, "two different tokens and the compression token")
        if self.length < 2:
            raise ValueError(
                f"length={self.length} holds no token for compression: give 2 or more."
            )
        return self


def _generate(setting: Compression, draw: Draw) -> Arrays:
    """Tokens drawn uniformly, then a compression token (the vocabulary's last); all are scored.

    The targets are the inputs, each at its own position, and all of them are decoded from the last
    position's hidden state: see `manticore.hybrid.reconstruction`. T = length.
    """
    inputs = np.full((draw.n_examples, setting.length), setting.vocabulary - 1)
    inputs[:, :-1] = draw.rng.integers(setting.vocabulary - 1, size=inputs[:, :-1].shape)
    return inputs, inputs.copy()


def compressible(ids: np.ndarray, vocabulary: int) -> float:
    """How far the entropy of single tokens is below the largest possible, as a share of that."""
    return 1 - entropy(ids[:, 1:]) / float(np.log(vocabulary))


TASK = Task(
    setting=Compression,
    generate=_generate,
    axes={
        "vocabulary": VOCABULARIES,
        "length": (64, 128, 256),
        "train_examples": TRAIN_EXAMPLES,
    },
    quick=QUICK | {"length": 8},
    example={"vocabulary": 9, "length": 7},
    tokens=lambda setting: [("key", setting.vocabulary - 1), ("restore", 1)],
    reconstructs=True,
    weight_in_text=compressible,  # as much in random order, and not by chance
)

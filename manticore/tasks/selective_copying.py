"""Selective copying: which tokens came, in their order, among blanks?"""

from typing import Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from manticore.config.setting import Setting
from manticore.tasks.counting import beyond_chance
from manticore.tasks.drawing import IGNORED, Arrays, Draw, in_blocks
from manticore.tasks.limits import require_vocabulary
from manticore.tasks.sizes import QUICK, TRAIN_EXAMPLES, VOCABULARIES
from manticore.tasks.task import Task


class SelectiveCopying(Setting, frozen=True):
    """Setting of selective copying."""

    vocabulary: PositiveInt = 16
    length: PositiveInt = 256
    tokens_to_copy: int = Field(16, ge=1, lt=1 << 16)
    """Number of tokens to copy."""

    @model_validator(mode="after")
    def _can_be_generated(self) -> Self:
        """Tokens, their copies, the copy token and a blank fit."""
        require_vocabulary(self, 3, "a token to copy, the blank and the copy token")
        least, most = 2 * self.tokens_to_copy + 2, (self.length - 2) // 2
        if self.length < least:
            fewer = f"copy at most {most}, or " if most > 0 else ""
            raise ValueError(
                f"tokens_to_copy={self.tokens_to_copy} of {self.task} does not fit in "
                f"length={self.length}: {fewer}give a length of {least} or more."
            )
        return self


@in_blocks
def _generate(setting: SelectiveCopying, draw: Draw) -> Arrays:
    """Tokens to remember with blanks in between; after a copy token they are scored in order.

    `length - 2 * tokens_to_copy - 1` blanks (the vocabulary's last token but one) are each put in
    front of one of the tokens, drawn uniformly: there is none between the last token and the copy
    token (the vocabulary's last). As many blanks as tokens follow that, and the target of the i-th
    of them is the i-th token. T = length.
    """
    n, n_copies = draw.n_examples, setting.tokens_to_copy
    blank, copy = setting.vocabulary - 2, setting.vocabulary - 1
    n_blanks = setting.length - 2 * n_copies - 1
    tokens = draw.rng.integers(blank, size=(n, n_copies))
    places = draw.rng.integers(n_copies, size=(n, n_blanks), dtype=np.uint16)  # takes longest
    places = places + n_copies * np.arange(n)[:, None]
    blanks_before = np.bincount(places.ravel(), minlength=n * n_copies).reshape(n, n_copies)
    inputs = np.full((n, setting.length), blank)
    positions = np.arange(n_copies) + np.cumsum(blanks_before, 1)
    np.put_along_axis(inputs, positions, tokens, 1)
    inputs[:, n_copies + n_blanks] = copy
    targets = np.full_like(inputs, IGNORED)
    targets[:, -n_copies:] = tokens
    return inputs, targets


def copied(ids: np.ndarray, vocabulary: int) -> float:
    """Share of tokens that are rarer than half of all, and were in the window before."""
    frequency = np.bincount(ids.ravel(), minlength=vocabulary)[ids]
    # Of an even number the lower one of the two in the middle.
    middle = np.sort(frequency, axis=None)[(ids.size - 1) // 2]
    again = np.zeros(ids.shape, dtype=bool)
    for index, row in enumerate(ids.tolist()):
        seen: set[int] = set()
        for place, token in enumerate(row):
            again[index, place] = token in seen
            seen.add(token)
    return float(((frequency < middle) & again).mean())


TASK = Task(
    setting=SelectiveCopying,
    generate=_generate,
    axes={
        "vocabulary": VOCABULARIES,
        "length": (512, 1024),
        "train_examples": TRAIN_EXAMPLES,
        "tokens_to_copy": (32, 64, 96),
    },
    quick=QUICK | {"tokens_to_copy": 4},
    example={"vocabulary": 10, "length": 14, "tokens_to_copy": 4},
    tokens=lambda setting: [("key", setting.vocabulary - 2), ("blank", 1), ("copy", 1)],
    paper={"tokens_to_copy": 96},
    weight_in_text=beyond_chance(copied),
)

"""In-context recall: which value went with this key, earlier in the sequence?"""

from typing import Self

import numpy as np
from pydantic import PositiveInt, model_validator

from manticore.tasks.counting import beyond_chance, look_back
from manticore.tasks.drawing import Arrays, Draw, in_blocks
from manticore.tasks.recall import RecallSetting, check_recall, recall_examples, recall_tokens
from manticore.tasks.sizes import QUICK, RECALL_AXES, VOCABULARIES
from manticore.tasks.task import Task


class InContextRecall(RecallSetting, frozen=True):
    """Setting of in-context recall."""

    vocabulary: PositiveInt = 16
    length: PositiveInt = 128

    @model_validator(mode="after")
    def _can_be_generated(self) -> Self:
        check_recall(self)
        return self


@in_blocks
def _generate(setting: InContextRecall, draw: Draw) -> Arrays:
    return recall_examples(setting, draw)


def recalled(ids: np.ndarray, vocabulary: int) -> float:
    """Share of tokens that equal what followed the same token at its last place in the window."""
    return look_back(ids, ids[:, :-1])


TASK = Task(
    setting=InContextRecall,
    generate=_generate,
    axes={"vocabulary": VOCABULARIES} | RECALL_AXES,
    quick=QUICK,
    example={"vocabulary": 8, "length": 14},
    tokens=recall_tokens,
    paper={"vocabulary": 128, "train_examples": 800},
    weight_in_text=beyond_chance(recalled),
)

"""Noisy in-context recall: in-context recall with noise between the pairs."""

from typing import Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from manticore.tasks.counting import beyond_chance, look_back
from manticore.tasks.drawing import Arrays, Draw, in_blocks
from manticore.tasks.recall import RecallSetting, check_recall, recall_examples, recall_tokens
from manticore.tasks.sizes import QUICK, RECALL_AXES, VOCABULARIES
from manticore.tasks.task import Task


class NoisyInContextRecall(RecallSetting, frozen=True):
    """Setting of noisy in-context recall."""

    vocabulary: PositiveInt = 32
    length: PositiveInt = 128
    noise_share: float = Field(0.2, ge=0, lt=1)
    """Probability that a pair is noise."""
    noise_vocabulary: int = Field(16, ge=0)
    """How many of the vocabulary's tokens are only noise."""

    @model_validator(mode="after")
    def _can_be_generated(self) -> Self:
        check_recall(self, self.noise_vocabulary)
        if self.noise_share and not self.noise_vocabulary:
            raise ValueError(
                f"noise_share={self.noise_share} needs noise tokens: set noise_vocabulary to 1 or "
                "more, or noise_share to 0."
            )
        return self


@in_blocks
def _generate(setting: NoisyInContextRecall, draw: Draw) -> Arrays:
    return recall_examples(setting, draw, setting.noise_vocabulary, setting.noise_share)


def _tokens(setting: NoisyInContextRecall) -> list[tuple[str, int]]:
    return recall_tokens(setting, setting.noise_vocabulary)


def recalled_from_afar(ids: np.ndarray, vocabulary: int) -> float:
    """As for in-context recall, where the last place is in the far half of the preceding text."""
    return look_back(ids, ids[:, :-1], far=True)


TASK = Task(
    setting=NoisyInContextRecall,
    generate=_generate,
    axes={"vocabulary": tuple(16 + n for n in VOCABULARIES)}
    | RECALL_AXES
    | {"noise_share": (0.4, 0.6, 0.8)},
    quick=QUICK,
    example={"vocabulary": 12, "length": 18, "noise_vocabulary": 4, "noise_share": 0.4},
    tokens=_tokens,
    paper={"vocabulary": 144, "noise_share": 0.8},
    weight_in_text=beyond_chance(recalled_from_afar),
)

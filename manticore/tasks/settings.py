"""A task's setting, the published ones and the presets.

`Setting(task="memorization", vocabulary=512)` is the task's baseline but for the vocabulary.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import Field, PositiveInt, model_validator

from manticore.config.options import Options
from manticore.tasks.registry import TASKS, find_task


class Setting(Options):
    """How large and how hard a task is. What is left out is as in the task's baseline.

    Options that a task has no use for are None, and giving them is an error.
    """

    task: str
    vocabulary: PositiveInt
    """All tokens, special ones and noise among them."""
    length: PositiveInt
    """Tokens of an example, as published: in-context recall with many queries has one input less,
    as the last token is only asked."""
    train_examples: PositiveInt
    test_examples: PositiveInt
    noise_share: float | None = Field(None, ge=0, lt=1)
    """Probability that a pair is noise."""
    noise_vocabulary: int | None = Field(None, ge=0)
    """How many of the vocabulary's tokens are noise only."""
    tokens_to_copy: int | None = Field(None, ge=1, lt=1 << 16)
    longest_key: int | None = Field(None, ge=1, le=4)
    """Keys have 1 to so many tokens."""
    longest_value: int | None = Field(None, ge=1, le=4)
    """Values have 1 to so many tokens."""
    multi_query: bool | None = None
    """Ask for every value whose key came before, not only for the last one."""

    @model_validator(mode="before")
    @classmethod
    def _baseline_unless_given(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("task"), str):
            given = {key: value for key, value in values.items() if value is not None}
            return {**find_task(values["task"]).baseline, **given}
        return values

    @model_validator(mode="after")
    def _fits_the_task(self) -> "Setting":
        task = TASKS[self.task]
        for option in type(self).model_fields.keys() - task.baseline.keys() - {"task"}:
            if getattr(self, option) is not None:
                users = [name for name, other in TASKS.items() if option in other.baseline]
                raise ValueError(
                    f"{option}={getattr(self, option)} means nothing to {self.task}: leave it out, "
                    f"or choose {' or '.join(users)}."
                )
        task.check(self)
        return self


BASELINES: dict[str, Setting] = {name: Setting(task=name) for name in TASKS}


def axes(task: str) -> list[Setting]:
    """The published difficulty settings of a task, each varying one option from the baseline.

    Raises:
        ValueError: There is no such task.
    """
    return [
        Setting(task=task, **{option: value})
        for option, values in find_task(task).axes.items()
        for value in values
    ]


def _full() -> Iterable[Setting]:
    for name in TASKS:
        yield BASELINES[name]
        yield from axes(name)


PRESETS: dict[str, list[Setting]] = {
    "quick": [Setting(task=name, **task.quick) for name, task in TASKS.items()],
    "baseline": list(BASELINES.values()),
    "full": list(_full()),
    "paper": [
        Setting(task=name, **task.paper) for name, task in TASKS.items() if task.paper is not None
    ],
}
"""`full` is the published suite; `paper` is harder than the baselines, and leaves compression out.
"""

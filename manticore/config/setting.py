"""A task's setting, how large and how hard it is; and the presets, which are lists of settings.

`Setting(task="memorization", vocabulary=512)` is the task's published baseline except for the
vocabulary. Tasks are looked up when they are used, so those that were registered later count too.
"""

from collections.abc import Callable
from typing import Any, Self

from pydantic import Field, ModelWrapValidatorHandler, PositiveInt, model_validator

from manticore.config.options import Options
from manticore.names import LONG_RANGE_TASKS, TASKS, Entry, Registry, choose, task_registry


class Setting(Options, frozen=True):
    """How large and how hard a task is.

    Each task has a subclass with options of its own, whose defaults are the published baseline.
    `Setting(task=...)` makes an object of that subclass. An option that is None counts as not
    given.
    """

    task: str
    """Name of the task."""
    # Each task has a default of its own; only `Setting` itself has none.
    vocabulary: PositiveInt = Field(default=...)
    """Number of tokens, with special ones and noise."""
    length: PositiveInt = Field(default=...)
    """Tokens per example, as published."""
    train_examples: PositiveInt = 12_800
    """Number of examples to train on."""
    test_examples: PositiveInt = 1_280
    """Number of examples to test on."""

    def __new__(cls, *args: Any, **values: Any) -> Self:
        """An object of the task's own class, which `__init__` then validates."""
        task = values.get("task")
        known = cls is Setting and task in task_registry(task)
        own: Any = task_registry(task).load(task).setting if known else cls
        return super().__new__(own)

    @model_validator(mode="wrap")
    @classmethod
    def _task_decides_the_class(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if cls is not Setting or not isinstance(values, dict) or "task" not in values:
            return handler(values)
        task = values["task"]
        return task_registry(task).load(task).setting.model_validate(values)

    @model_validator(mode="before")
    @classmethod
    def _options_are_those_of_the_task(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = {option: value for option, value in values.items() if value is not None}
        tasks = task_registry(given.get("task"))
        for option in given.keys() - cls.model_fields.keys():
            users = [name for name in tasks if option in tasks.load(name).setting.model_fields]
            if users:
                raise ValueError(
                    f"The task {given.get('task')} does not use {option}: leave it out, or choose "
                    f"{' or '.join(users)}."
                )
        return given


def difficulties(task: str) -> list[Setting]:
    """The published difficulty settings of a task, each with one option unlike the baseline.

    Raises:
        UnknownNameError: There is no such task.
    """
    return [
        Setting(task=task, **{option: value})
        for option, values in TASKS.load(task).axes.items()
        for value in values
    ]


def _quick(tasks: Registry[Entry] = TASKS) -> list[Setting]:
    changes = {name: tasks.load(name).quick for name in tasks}
    return [Setting(task=name, **own) for name, own in changes.items() if own is not None]


def _baseline() -> list[Setting]:
    return [Setting(task=name) for name in TASKS]


def _full() -> list[Setting]:
    return [setting for name in TASKS for setting in (Setting(task=name), *difficulties(name))]


def _paper(tasks: Registry[Entry] = TASKS) -> list[Setting]:
    changes = {name: tasks.load(name).paper for name in tasks}
    return [Setting(task=name, **own) for name, own in changes.items() if own is not None]


Presets = dict[str, Callable[[], list[Setting]]]
PRESETS: Presets = {
    "quick": _quick,
    "baseline": _baseline,
    "full": _full,
    "paper": _paper,
}
"""What makes the settings of each preset: `quick` trains in minutes on two cores, `full` is the
published suite, and `paper` is the suite of "Pretrained Hybrids with MAD Skills"."""
LONG_RANGE_PRESETS: Presets = {
    "quick": lambda: _quick(LONG_RANGE_TASKS),
    "paper": lambda: _paper(LONG_RANGE_TASKS),
    "path-x": lambda: [Setting(task="path-x")],
}
"""The same for Long Range Arena. `paper` has its published sizes; `path-x` is its longest task."""


def preset_settings(preset: str, presets: Presets = PRESETS) -> list[Setting]:
    """The settings of a preset, one or more for each of its tasks.

    Args:
        preset: Name of the preset.
        presets: The presets that there are.

    Raises:
        UnknownNameError: There is no such preset.
    """
    return presets[choose(preset, presets, "preset")]()

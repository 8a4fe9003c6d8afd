"""The synthetic tasks of Mechanistic Architecture Design (MAD, arXiv 2403.17844), one file each.

What needs torch is imported when it is first used: a run's configuration, which every watcher
reads, names tasks and settings.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from manticore.config.setting import PRESETS, Setting, difficulties, preset_settings
from manticore.names import TASKS
from manticore.tasks.task import Task, find_task

if TYPE_CHECKING:
    from manticore.tasks.data import Examples, TaskData, count_correct, make_task
    from manticore.tasks.measuring import chance_accuracy, measure

__all__ = [
    "PRESETS",
    "TASKS",
    "Examples",
    "Setting",
    "Task",
    "TaskData",
    "chance_accuracy",
    "count_correct",
    "difficulties",
    "find_task",
    "make_task",
    "measure",
    "preset_settings",
]

_HOMES = dict.fromkeys(("Examples", "TaskData", "count_correct", "make_task"), "data") | (
    dict.fromkeys(("chance_accuracy", "measure"), "measuring")
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"The module manticore.tasks has no attribute {name!r}.")
    return getattr(import_module(f"manticore.tasks.{_HOMES[name]}"), name)

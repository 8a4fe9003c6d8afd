"""The six synthetic tasks of Mechanistic Architecture Design (MAD, arXiv 2403.17844).

What needs torch is imported on first use: a run's configuration, which every watcher reads, names
tasks and settings.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from manticore.tasks.registry import TASKS, Task, find_task
from manticore.tasks.settings import BASELINES, PRESETS, Setting, axes

if TYPE_CHECKING:
    from manticore.tasks.data import Examples, TaskData, count_correct, make_task
    from manticore.tasks.measuring import measure

__all__ = [
    "BASELINES",
    "PRESETS",
    "TASKS",
    "Examples",
    "Setting",
    "Task",
    "TaskData",
    "axes",
    "count_correct",
    "find_task",
    "make_task",
    "measure",
]

_HOMES = {"measure": "measuring"} | dict.fromkeys(
    ("Examples", "TaskData", "count_correct", "make_task"), "data"
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manticore.tasks' has no attribute '{name}'")
    return getattr(import_module(f"manticore.tasks.{_HOMES[name]}"), name)

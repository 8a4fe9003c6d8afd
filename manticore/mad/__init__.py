"""Mechanistic Architecture Design: six synthetic tasks, the suite's protocol, and programming.

What needs torch is imported on first use: a run's configuration, which every watcher reads, says
tasks and settings.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from manticore.mad.registry import TASKS, Task, find_task
from manticore.mad.settings import BASELINES, PRESETS, Setting, axes

if TYPE_CHECKING:
    from manticore.mad.data import Examples, TaskData, count_correct, make_task
    from manticore.mad.fresh import hybrid_for_task
    from manticore.mad.measuring import measure

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
    "hybrid_for_task",
    "make_task",
    "measure",
]

_HOMES = {"hybrid_for_task": "fresh", "measure": "measuring"} | dict.fromkeys(
    ("Examples", "TaskData", "count_correct", "make_task"), "data"
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manticore.mad' has no attribute '{name}'")
    return getattr(import_module(f"manticore.mad.{_HOMES[name]}"), name)

"""Mechanistic Architecture Design: six synthetic tasks, their settings and their data."""

from manticore.mad.data import Examples, TaskData, accuracy, count_correct, make_task
from manticore.mad.reconstruction import ReconstructionDecoder
from manticore.mad.registry import TASKS, Task, find_task
from manticore.mad.settings import BASELINES, PRESETS, Setting, axes

__all__ = [
    "BASELINES",
    "PRESETS",
    "TASKS",
    "Examples",
    "ReconstructionDecoder",
    "Setting",
    "Task",
    "TaskData",
    "accuracy",
    "axes",
    "count_correct",
    "find_task",
    "make_task",
]

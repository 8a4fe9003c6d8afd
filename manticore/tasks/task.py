"""What a task is: everything about it in one object, and one file for each task.

To add a task is to write a file with a `Task` in this folder or elsewhere, and its entry in
`manticore.names.TASKS` or, where sequences are classified, `LONG_RANGE_TASKS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from manticore.config.setting import Setting
from manticore.names import task_registry
from manticore.tasks.drawing import Arrays, Draw

Changes = Mapping[str, Any]
"""Options of a setting and their values."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task.

    Attributes:
        setting: Class of its settings: its options, their limits and, as their defaults, the
            published baseline.
        generate: Makes a data set, as described in `manticore.tasks.drawing`.
        axes: For each option that the published suite varies, one at a time, its values.
        quick: What changes in the baseline for a setting that trains in minutes on two cores; None
            where there is no such setting.
        paper: What the suite of "Pretrained Hybrids with MAD Skills" changes in the baseline; None
            where it leaves the task out.
        labels: Where sequences are classified, gives the names of a setting's labels; None where
            tokens are predicted.
        pairs: Whether pairs of sequences are classified.
        pooling: What of a sequence a classifier looks at.
        regimes: By preset, the fields of the suite's protocol in which this task differs: sizes of
            models and of training.
        reconstructs: Whether all targets are decoded from the last position, by a head for that.
            Otherwise a causal language model's output at position t is scored on `targets[:, t]`.
        example: What changes in the baseline for an example that people can read.
        tokens: The kinds of tokens of a setting, in the order of the vocabulary, each with how
            many there are: "key", "value", "noise", "blank", "padding" or what they announce.
        weight_in_text: How much a text rewards what the task trains, from 0 to 1, counted without
            training: a function of its tokens (n, T), in windows as the model sees them, and the
            size of the vocabulary. None where nothing to count is known: the task then has no
            weight in a text.
    """

    setting: type[Setting]
    generate: Callable[[Any, Draw], Arrays]
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    quick: Changes | None = field(default_factory=dict)
    example: Changes = field(default_factory=dict)
    tokens: Callable[[Any], Sequence[tuple[str, int]]] | None = None
    paper: Changes | None = None
    labels: Callable[[Any], Sequence[str]] | None = None
    pairs: bool = False
    pooling: Literal["last", "mean"] = "mean"
    regimes: Mapping[str, Changes] = field(default_factory=dict)
    reconstructs: bool = False
    weight_in_text: Callable[[np.ndarray, int], float] | None = None

    @property
    def head(self) -> Literal["mixed", "reconstruction"]:
        """The head that a hybrid needs for the task."""
        return "reconstruction" if self.reconstructs else "mixed"


def find_task(name: str) -> Task:
    """The task of this name.

    Raises:
        UnknownNameError: There is none; the message suggests the nearest name and lists all.
    """
    return task_registry(name).load(name)

"""The tasks by name. A new task is one function in `tasks.py` and one entry here."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from manticore.tasks import checks, generators

if TYPE_CHECKING:
    from manticore.tasks.settings import Setting

Options = Mapping[str, Any]

RECALL_AXES = {"length": (256, 512, 1024), "train_examples": (6400, 3200, 1600, 800)}
VOCABULARIES = (32, 64, 128)


@dataclass(frozen=True)
class Task:
    """One task: how its data are made, checked and set.

    Attributes:
        generate: makes a data set of a setting.
        check: raises ValueError for a setting that the task cannot be made of.
        baseline: the published setting; its keys beside the common ones are the task's options.
        axes: option to the values that the published suite varies it over, one axis at a time.
        quick: what a setting that trains in minutes on two cores changes in the baseline.
        paper: what the suite of "Pretrained Hybrids with MAD Skills" changes in the baseline, or
            None where that leaves the task out.
        reconstructs: all targets are decoded from the last position, by a head for that; else a
            causal language model's output at position t is asked for `targets[:, t]`.
    """

    generate: Callable[["Setting", generators.Draw], generators.Examples]
    check: Callable[["Setting"], None]
    baseline: Options
    axes: Options
    quick: Options
    paper: Options | None
    reconstructs: bool = False

    @property
    def head(self) -> Literal["mixed", "reconstruction"]:
        """The head that a hybrid needs for it."""
        return "reconstruction" if self.reconstructs else "mixed"


def find_task(name: str) -> Task:
    """The task of this name.

    Raises:
        ValueError: There is none.
    """
    if name in TASKS:
        return TASKS[name]
    nearest = difflib.get_close_matches(name, TASKS, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(map(repr, nearest))}? " if nearest else ""
    raise ValueError(f"There is no task {name!r}: {hint}The tasks are {', '.join(TASKS)}.")


def _baseline(vocabulary: int, length: int, train_examples: int = 12_800, **own: Any) -> Options:
    sizes = {"vocabulary": vocabulary, "length": length, "train_examples": train_examples}
    return sizes | {"test_examples": 1_280} | own


TASKS: dict[str, Task] = {
    "in-context-recall": Task(
        generators.in_context_recall,
        checks.check_recall,
        baseline=_baseline(16, 128, multi_query=True),
        axes={"vocabulary": VOCABULARIES} | RECALL_AXES,
        quick={"length": 32, "train_examples": 3_200, "test_examples": 320},
        paper={"vocabulary": 128, "train_examples": 800},
    ),
    "fuzzy-in-context-recall": Task(
        generators.fuzzy_in_context_recall,
        checks.check_fuzzy_recall,
        baseline=_baseline(16, 128, longest_key=3, longest_value=3, multi_query=True),
        axes={"vocabulary": VOCABULARIES} | RECALL_AXES,
        quick={
            "length": 48,
            "longest_key": 2,
            "longest_value": 2,
            "train_examples": 3_200,
            "test_examples": 320,
        },
        paper={"vocabulary": 128, "train_examples": 800},
    ),
    "noisy-in-context-recall": Task(
        generators.in_context_recall,
        checks.check_recall,
        baseline=_baseline(32, 128, noise_vocabulary=16, noise_share=0.2, multi_query=True),
        axes={"vocabulary": tuple(v + 16 for v in VOCABULARIES)}
        | RECALL_AXES
        | {"noise_share": (0.4, 0.6, 0.8)},
        quick={"length": 32, "train_examples": 3_200, "test_examples": 320},
        paper={"vocabulary": 144, "noise_share": 0.8},
    ),
    "selective-copying": Task(
        generators.selective_copying,
        checks.check_selective_copying,
        baseline=_baseline(16, 256, tokens_to_copy=16),
        axes={
            "vocabulary": VOCABULARIES,
            "length": (512, 1024),
            "train_examples": RECALL_AXES["train_examples"],
            "tokens_to_copy": (32, 64, 96),
        },
        quick={
            "length": 32,
            "tokens_to_copy": 4,
            "train_examples": 3_200,
            "test_examples": 320,
        },
        paper={"tokens_to_copy": 96},
    ),
    "compression": Task(
        generators.compression,
        checks.check_compression,
        baseline=_baseline(16, 32),
        axes={
            "vocabulary": VOCABULARIES,
            "length": (64, 128, 256),
            "train_examples": RECALL_AXES["train_examples"],
        },
        quick={"length": 8, "train_examples": 3_200, "test_examples": 320},
        paper=None,
        reconstructs=True,
    ),
    "memorization": Task(
        generators.memorization,
        checks.check_memorization,
        baseline=_baseline(256, 32, train_examples=256),
        axes={"vocabulary": (512, 1024, 2048, 4096, 8192)},
        quick={"vocabulary": 64, "test_examples": 128},
        paper={"vocabulary": 8192},
    ),
}

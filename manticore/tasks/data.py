"""A task's data sets in the form that a causal language model's own loss takes.

Such a loss shifts labels by one: the logits at position t are compared with `labels[:, t + 1]`.
A task's targets are what the logits at t are scored on. So `labels` are the targets moved one place
to the right, -100 in the first; and so that the last target keeps a place, `input_ids` are the
inputs and one token more, a repeat of the last input. No scored position sees it, and the loss
drops its logits. A model needs room for that many positions: `TaskData.length`.

A reconstruction task (compression) needs a hybrid with `head="reconstruction"`, whose logits at
position t are for the token at t: `labels` are -100 and the inputs, one longer than `input_ids`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from manticore.config.setting import Setting
from manticore.hybrid.configuration import HeadKind
from manticore.tasks.drawing import IGNORED, Draw
from manticore.tasks.task import find_task


class Examples(Dataset):
    """Items with `input_ids` and `labels`, int64; all of them are attributes, (N, T) each.

    T is the same for both, except for reconstruction, whose labels are one longer.
    """

    def __init__(self, input_ids: torch.Tensor, labels: torch.Tensor) -> None:
        self.input_ids = input_ids
        self.labels = labels

    def __len__(self) -> int:
        return len(self.input_ids)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.input_ids[index], "labels": self.labels[index]}


@dataclass(frozen=True, eq=False)
class TaskData:
    """A task's data, ready to train and test on.

    Attributes:
        setting: Setting of the task.
        seed: With the setting, all that the data depend on.
        train: Examples to train on.
        test: Examples to test on.
    """

    setting: Setting
    seed: int
    train: Examples
    test: Examples

    @property
    def name(self) -> str:
        """The task's name."""
        return self.setting.task

    @property
    def head(self) -> HeadKind:
        """The head that a hybrid needs for the task."""
        return find_task(self.name).head

    @property
    def valid(self) -> Examples:
        """The test examples, under the name that texts have for what is measured on."""
        return self.test

    @property
    def floor(self) -> None:
        """The lowest possible loss is not known."""
        return None

    @property
    def length(self) -> int:
        """Tokens per item, T."""
        return self.train.input_ids.shape[1]


def make_task(name: str, setting: Setting | None = None, seed: int = 0) -> TaskData:
    """Generate a task's training and test data.

    The same setting and seed give the same data. Training and testing draw from different random
    streams, so the number of examples of one does not change the other.

    Args:
        name: Name of the task.
        setting: Setting of the task; its baseline if None.
        seed: Random seed, 0 or more.

    Raises:
        ValueError: No such task, a setting of another task, or a negative seed.
    """
    find_task(name)
    setting = setting or Setting(task=name)
    if setting.task != name:
        raise ValueError(
            f"The setting is for the task {setting.task}, not for {name}: make it with "
            f"Setting(task={name!r}, ...)."
        )
    if seed < 0:
        raise ValueError(f"seed={seed} is negative: give 0 or more.")
    train, test, shared, _ = _streams(seed)
    return TaskData(
        setting,
        seed,
        train=_examples(setting, setting.train_examples, train, shared, training=True),
        test=_examples(setting, setting.test_examples, test, shared, training=False),
    )


def more_tests(data: TaskData, n_examples: int) -> Examples:
    """Other examples of the same distribution as `data.test`."""
    *_, shared, more = _streams(data.seed)
    return _examples(data.setting, n_examples, more, shared, training=False)


def _streams(seed: int) -> list[np.random.SeedSequence]:
    """Seeds of training, of testing, of what both have in common, and of more tests."""
    return np.random.SeedSequence(seed).spawn(4)


def _examples(
    setting: Setting,
    n_examples: int,
    stream: np.random.SeedSequence,
    shared: np.random.SeedSequence,
    training: bool,
) -> Examples:
    task = find_task(setting.task)
    draw = Draw(n_examples, training, np.random.default_rng(stream), shared)
    inputs, targets = task.generate(setting, draw)
    if not task.reconstructs:
        inputs = np.concatenate([inputs, inputs[:, -1:]], axis=1)
    targets = np.pad(targets, ((0, 0), (1, 0)), constant_values=IGNORED)
    return Examples(
        torch.from_numpy(np.ascontiguousarray(inputs)),
        torch.from_numpy(np.ascontiguousarray(targets)),
    )


def count_correct(logits: torch.Tensor, targets: torch.Tensor) -> tuple[int, int]:
    """The number of targets for which the logits are highest, and the number of targets.

    Every scored position counts alike. (The published code takes the mean of each token's own
    accuracy instead, where a token that is predicted but never a target counts as 0.)

    Args:
        logits: Logits (B, T, V) for the targets of the same position: all of a model's logits
            except the last.
        targets: Targets (B, T), -100 where nothing is scored: all of an item's labels except the
            first.

    Raises:
        ValueError: The shapes do not match.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"Logits of shape {tuple(logits.shape)} do not match targets of shape "
            f"{tuple(targets.shape)}: leave out the last logits, and the first labels."
        )
    scored = targets != IGNORED
    correct = (logits.argmax(-1) == targets) & scored
    return int(correct.sum()), int(scored.sum())

"""A task's data sets in the form that a model's own loss takes.

Where sequences are classified, each has one label. Otherwise the loss is a causal language model's,
which shifts labels by one: the logits at position t are compared with `labels[:, t + 1]`. A task's
targets are what the logits at t are scored on. So `labels` are the targets moved one place to the
right, -100 in the first; and so that the last target keeps a place, `input_ids` are the inputs and
one token more, a repeat of the last input. No scored position sees it, and the loss drops its
logits. A model needs room for that many positions: `TaskData.length`.

A reconstruction task (compression) needs a hybrid with `head="reconstruction"`, whose logits at
position t are for the token at t: `labels` are -100 and the inputs, one longer than `input_ids`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from manticore.config.setting import Setting
from manticore.hybrid.configuration import HeadKind
from manticore.tasks.drawing import IGNORED, Draw, Part
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

    @property
    def length(self) -> int:
        """Tokens per item, T."""
        return self.input_ids.shape[-1]


class LabelledExamples(Examples):
    """Items with `input_ids`, (T,) or (2, T), and one label each; `labels` is (N,).

    Where any sequence is padded, each item has an `attention_mask` too.

    Args:
        inputs: (N, T) or (N, 2, T) token ids, -100 for padding at the end.
        labels: (N,).
        vocabulary: Number of tokens.
    """

    def __init__(self, inputs: np.ndarray, labels: np.ndarray, vocabulary: int) -> None:
        # Images of 128 by 128 pixels take eight times as much as int64.
        small = np.uint8 if vocabulary <= 1 << 8 else np.int32
        self._real = torch.from_numpy((inputs != IGNORED).sum(axis=-1))
        self._is_padded = bool((self._real < inputs.shape[-1]).any())
        ids = np.where(inputs == IGNORED, 0, inputs).astype(small)
        super().__init__(torch.from_numpy(ids), torch.from_numpy(labels.astype(np.int64)))

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        item = {"input_ids": self.input_ids[index].long(), "labels": self.labels[index]}
        if self._is_padded:
            places = torch.arange(self.length)
            item["attention_mask"] = (places < self._real[index][..., None]).long()
        return item


@dataclass(frozen=True, eq=False)
class TaskData:
    """A task's data, ready to train and test on.

    Attributes:
        setting: Setting of the task.
        seed: With the setting, all that the data depend on.
        train: Examples to train on.
        test: Examples to test on.
        held_out: Examples to choose by; None where the published suite chooses by the tests.
    """

    setting: Setting
    seed: int
    train: Examples
    test: Examples
    held_out: Examples | None = None

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
        """What is measured on while training, under the name that texts have for it."""
        return self.test if self.held_out is None else self.held_out

    @property
    def floor(self) -> None:
        """The lowest possible loss is not known."""
        return None

    @property
    def length(self) -> int:
        """Tokens per item, T."""
        return self.train.length


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
    streams = _streams(seed)
    held_out = None
    if find_task(name).labels is not None:
        kept = getattr(setting, "valid_examples", setting.test_examples)
        held_out = _examples(setting, kept, "valid", streams.valid, streams.shared)
    return TaskData(
        setting,
        seed,
        train=_examples(setting, setting.train_examples, "train", streams.train, streams.shared),
        test=_examples(setting, setting.test_examples, "test", streams.test, streams.shared),
        held_out=held_out,
    )


def more_tests(data: TaskData, n_examples: int) -> Examples:
    """Other examples of the same distribution as `data.test`."""
    streams = _streams(data.seed)
    return _examples(data.setting, n_examples, "test", streams.more, streams.shared)


class _Streams(NamedTuple):
    """Seeds of training, of testing, of what all have in common, of more tests, of choosing."""

    train: np.random.SeedSequence
    test: np.random.SeedSequence
    shared: np.random.SeedSequence
    more: np.random.SeedSequence
    valid: np.random.SeedSequence


def _streams(seed: int) -> _Streams:
    return _Streams(*np.random.SeedSequence(seed).spawn(len(_Streams._fields)))


def _examples(
    setting: Setting,
    n_examples: int,
    part: Part,
    stream: np.random.SeedSequence,
    shared: np.random.SeedSequence,
) -> Examples:
    task = find_task(setting.task)
    draw = Draw(n_examples, part, np.random.default_rng(stream), shared)
    inputs, targets = task.generate(setting, draw)
    if task.labels is not None:
        return LabelledExamples(inputs, targets, setting.vocabulary)
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

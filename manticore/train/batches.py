"""Endless batches from any step on: a resumed loop reads what an uninterrupted one reads."""

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import torch
from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader, Dataset, IterableDataset

Batch = dict[str, torch.Tensor]


class Batches:
    """The training batches of a loop, prepared by its accelerator.

    Args:
        accelerator: Accelerator that shuffles by its own seed, and splits batches over its
            processes.
        dataset: Data set or stream of items with `input_ids` and `labels`, (T,) each.
        batch_size: Sequences per batch, over all processes.

    Raises:
        ValueError: A data set has fewer sequences than one batch takes, or a stream has none.
    """

    def __init__(self, accelerator: Accelerator, dataset: Dataset, batch_size: int) -> None:
        self.dataset: Any = dataset
        self.loader: Any = accelerator.prepare(_loader(dataset, batch_size))

    def after(self, done: int) -> Iterator[Batch]:
        """Batches, epoch after epoch.

        Args:
            done: Number of batches that were read before; those are skipped.
        """
        if isinstance(self.loader.dataset, IterableDataset):
            # A stream's epochs have no known length: what was read is read again, and skipped.
            yield from islice(self._epochs(0), done, None)
        epoch, skip = divmod(done, len(self.loader))
        self.loader.set_epoch(epoch)
        rest: Any = skip_first_batches(self.loader, skip)
        yield from rest
        yield from self._epochs(epoch + 1)

    def spread(self, n: int) -> torch.Tensor:
        """Up to n sequences, (n, T) token ids: the first of a stream, or at even distances.

        Args:
            n: Number of sequences.
        """
        if isinstance(self.dataset, IterableDataset):
            items = list(islice(iter(self.dataset), n))
        else:
            n = min(n, len(self.dataset))
            items = [self.dataset[index * len(self.dataset) // n] for index in range(n)]
        return torch.stack([item["input_ids"] for item in items])

    def _epochs(self, first: int) -> Iterator[Batch]:
        for epoch in count(first):
            self.loader.set_epoch(epoch)
            yield from self.loader


def _loader(dataset: Any, batch_size: int) -> DataLoader:
    if isinstance(dataset, IterableDataset):
        if next(iter(dataset), None) is None:
            raise ValueError("The training text has not a single sequence: give more text.")
        return DataLoader(dataset, batch_size=batch_size)
    if len(dataset) < batch_size:
        raise ValueError(
            f"The training text has {len(dataset)} sequences, fewer than the batch size of "
            f"{batch_size}: give more text, or a smaller batch_size or seq_len."
        )
    return DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True)

"""Batches without end, from any step on: a resumed loop reads what an unbroken one reads."""

from collections.abc import Iterator
from itertools import count, islice

import torch
from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader, Dataset, IterableDataset

Batch = dict[str, torch.Tensor]


class Batches:
    """The training batches of a loop, prepared by its accelerator.

    Args:
        accelerator: It shuffles by its own seed, and splits batches over its processes.
        dataset: Items with `input_ids` and `labels`, (T,) each.
        batch_size: Sequences per batch, over all processes.

    Raises:
        ValueError: Fewer sequences than one batch takes; of a stream, none.
    """

    def __init__(self, accelerator: Accelerator, dataset: Dataset, batch_size: int) -> None:
        self.loader = accelerator.prepare(_loader(dataset, batch_size))

    def after(self, done: int) -> Iterator[Batch]:
        """Batches, epoch after epoch, from the one that follows `done` batches."""
        if isinstance(self.loader.dataset, IterableDataset):
            # A stream's epochs have no known length, so what was read is read again and passed by.
            yield from islice(self._epochs(0), done, None)
        epoch, skip = divmod(done, len(self.loader))
        self.loader.set_epoch(epoch)
        yield from skip_first_batches(self.loader, skip)
        yield from self._epochs(epoch + 1)

    def _epochs(self, first: int) -> Iterator[Batch]:
        for epoch in count(first):
            self.loader.set_epoch(epoch)
            yield from self.loader


def _loader(dataset: Dataset, batch_size: int) -> DataLoader:
    if isinstance(dataset, IterableDataset):
        if next(iter(dataset), None) is None:
            raise ValueError("The training text gave no batch: give more text.")
        return DataLoader(dataset, batch_size=batch_size)
    if len(dataset) < batch_size:
        raise ValueError(
            f"The training text makes {len(dataset)} sequences, fewer than the batch size of "
            f"{batch_size}: give more text, or a smaller batch_size or seq_len."
        )
    return DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True)

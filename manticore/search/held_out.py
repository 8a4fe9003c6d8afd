"""Text that mixture weights are judged on and that no other weight ever learns from."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol, cast

import torch
from torch.utils.data import Dataset, IterableDataset, Subset, default_collate

from manticore.config.search import n_held_out

MOST_SEQUENCES = 2048
"""How many sequences of a stream, its first ones, are held out in memory."""


class Sequences(Protocol):
    """A data set by index: items with `input_ids` and `labels`, (T,) each."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


class Remainder(IterableDataset):
    """A stream without its first sequences.

    Args:
        stream: Stream of items.
        skipped: Number of items that are left out.
    """

    def __init__(self, stream: IterableDataset, skipped: int) -> None:
        self.stream, self.skipped = stream, skipped

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return islice(iter(self.stream), self.skipped, None)

    def set_epoch(self, epoch: int) -> None:
        """Hand the epoch on to a stream that shuffles.

        Args:
            epoch: Number of the epoch.
        """
        set_epoch = getattr(self.stream, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)


class HeldOut:
    """Batches by number: the same seed and number give the same sequences, whoever asks when.

    Args:
        sequences: Held-out sequences.
        seed: Random seed of the order in which they make batches.
    """

    def __init__(self, sequences: Sequences, seed: int) -> None:
        self.sequences = sequences
        self.seed = seed

    def batch(self, number: int, size: int, device: torch.device | str) -> dict[str, torch.Tensor]:
        """One batch, `input_ids` and `labels`, (B, T) each.

        Args:
            number: Number of the batch, counted from 0, without end.
            size: Number of sequences, B; fewer only where there are fewer in all.
            device: Device of the result.
        """
        per_epoch = max(1, len(self.sequences) // size)
        epoch, position = divmod(number, per_epoch)
        generator = torch.Generator().manual_seed(self.seed + 7919 * epoch)
        order = torch.randperm(len(self.sequences), generator=generator).tolist()
        chosen = order[position * size : (position + 1) * size]
        batch = default_collate([self.sequences[index] for index in chosen])
        return {name: tensor.to(device) for name, tensor in batch.items()}


def hold_out(
    dataset: Sequences | IterableDataset, fraction: float, seed: int, at_least: int
) -> tuple[Dataset, HeldOut]:
    """Split a training text into what weights learn from and what mixture weights are judged on.

    Args:
        dataset: Data set by index, whose last sequences are held out; or a stream, whose first
            `MOST_SEQUENCES` are. A stream that has no more is read into memory and split as a data
            set by index.
        fraction: Share that is held out of a data set by index.
        seed: Random seed of the order of the held-out batches.
        at_least: Number of sequences in a batch.

    Returns:
        What the other weights learn from, and what is held out.

    Raises:
        ValueError: The text is too short to be split.
    """
    if isinstance(dataset, IterableDataset):
        first = list(islice(iter(dataset), MOST_SEQUENCES + at_least))
        if len(first) == MOST_SEQUENCES + at_least:
            kept = first[:MOST_SEQUENCES]
            return Remainder(dataset, len(kept)), HeldOut(kept, seed)
        sequences: Sequences = first
    else:
        sequences = dataset
    n_kept = n_held_out(len(sequences), fraction, at_least)
    n_rest = len(sequences) - n_kept
    if n_rest < at_least:
        raise ValueError(
            f"The training text has {len(sequences)} sequences, too few to hold out {n_kept} for "
            f"the mixture weights with batches of {at_least}: give more text, or a smaller "
            "batch_size, seq_len or held_out."
        )
    rest, kept = (
        # torch's type says Dataset, and it takes whatever has an index.
        Subset(cast(Dataset, sequences), indices)
        for indices in (range(n_rest), range(n_rest, len(sequences)))
    )
    return rest, HeldOut(kept, seed)

"""Text that mixture weights are judged on and no other weight ever learns from."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch.utils.data import Dataset, IterableDataset, Subset, default_collate

from manticore.config.search import n_held_out

MOST_SEQUENCES = 2048
"""Of a stream: so many are kept in memory, its first ones."""


class Remainder(IterableDataset):
    """A stream without its first sequences."""

    def __init__(self, stream: IterableDataset, skipped: int) -> None:
        self.stream, self.skipped = stream, skipped

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return islice(iter(self.stream), self.skipped, None)

    def set_epoch(self, epoch: int) -> None:
        """Hand the epoch on to a stream that shuffles."""
        if hasattr(self.stream, "set_epoch"):
            self.stream.set_epoch(epoch)


class HeldOut:
    """Batches by number: the same seed and number give the same sequences, whoever asks when.

    Args:
        sequences: Map-style data set of {"input_ids": (T,), "labels": (T,)}.
        seed: Decides which sequences make which batch.
    """

    def __init__(self, sequences: Dataset, seed: int) -> None:
        self.sequences = sequences
        self.seed = seed

    def batch(self, number: int, size: int, device: torch.device | str) -> dict[str, torch.Tensor]:
        """Batch `number` of `size` sequences, fewer only where there are fewer in all."""
        per_epoch = max(1, len(self.sequences) // size)
        epoch, position = divmod(number, per_epoch)
        generator = torch.Generator().manual_seed(self.seed + 7919 * epoch)
        order = torch.randperm(len(self.sequences), generator=generator).tolist()
        chosen = order[position * size : (position + 1) * size]
        batch = default_collate([self.sequences[index] for index in chosen])
        return {name: tensor.to(device) for name, tensor in batch.items()}


def hold_out(
    dataset: Dataset, fraction: float, seed: int, at_least: int
) -> tuple[Dataset, HeldOut]:
    """Split a training text into what weights learn from and what mixture weights are judged on.

    Args:
        dataset: Map-style, whose last sequences are held out; or a stream, whose first are: as
            many as are kept in memory. A stream that has no more is held in memory altogether.
        fraction: Share held out, of what is in memory altogether.
        seed: For the order of the batches.
        at_least: Sequences that a batch takes.

    Raises:
        ValueError: The text is too short to be split.
    """
    if isinstance(dataset, IterableDataset):
        first = list(islice(iter(dataset), MOST_SEQUENCES + at_least))
        if len(first) == MOST_SEQUENCES + at_least:
            kept = first[:MOST_SEQUENCES]
            return Remainder(dataset, len(kept)), HeldOut(kept, seed)
        dataset = first
    n_kept = n_held_out(len(dataset), fraction, at_least)
    n_rest = len(dataset) - n_kept
    if n_rest < at_least:
        raise ValueError(
            f"The training text makes {len(dataset)} sequences, too few to hold {n_kept} out for "
            f"the mixture weights with batches of {at_least}: give more text, or a smaller "
            "batch_size, seq_len or held_out."
        )
    kept = Subset(dataset, range(n_rest, len(dataset)))
    return Subset(dataset, range(n_rest)), HeldOut(kept, seed)

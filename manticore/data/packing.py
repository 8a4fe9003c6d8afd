"""From pieces of text to sequences of one length: tokens of all documents in a row, cut every T.

Where the tokenizer puts BOS before a text, BOS begins each document; an end-of-text token ends it.
Every token is in exactly one sequence. The last sequence may be shorter and is padded (labels
-100); a single token left over, which predicts nothing, is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from manticore.data.reading import Piece
from manticore.data.token_ids import end_of_text_id, leading_ids, token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from manticore.data.sources import TextSource

IGNORED = -100
BATCH = 1 << 18  # characters given to the tokenizer at a time
Item = dict[str, torch.Tensor]


def token_blocks(
    pieces: Iterable[Piece], tokenizer: PreTrainedTokenizerBase, max_tokens: int | None = None
) -> Iterator[np.ndarray]:
    """Yield the tokens of `pieces`, each document between BOS (where used) and end-of-text.

    Args:
        pieces: Pieces of documents, as `cut_pieces` gives them.
        tokenizer: A tokenizer with an end-of-text token.
        max_tokens: Number of tokens to stop after; None for all.

    Yields:
        Token ids, int64 arrays (n,) of any length.
    """
    left = max_tokens
    lead, separator = leading_ids(tokenizer), separator_ids(tokenizer)
    for batch in _batches(pieces):
        ids: list[int] = []
        encoded = token_ids([text for text, _ in batch], tokenizer)
        for (_, ends_document), tokens in zip(batch, encoded, strict=True):
            ids += lead
            ids += tokens
            lead = []
            if ends_document:
                ids += separator[:1]
                lead = separator[1:]
        block = np.asarray(ids[:left], dtype=np.int64)
        yield block
        if left is not None:
            left -= len(block)
            if left == 0:
                return


def _batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    characters = 0
    for piece in pieces:
        batch.append(piece)
        characters += len(piece[0])
        if characters >= BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def separator_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids between two documents: end-of-text, then BOS where the tokenizer adds it.

    A single one where the two are the same token.
    """
    begin, end = leading_ids(tokenizer), [end_of_text_id(tokenizer)]
    return end if begin == end else end + begin


def n_sequences(n_tokens: int, seq_len: int) -> int:
    """Number of sequences of `n_tokens` tokens, including a last one of at least two tokens."""
    whole, rest = divmod(n_tokens, seq_len)
    return whole + (rest >= 2)


def as_item(ids: np.ndarray, seq_len: int, pad_id: int) -> Item:
    """One item from 2 to T tokens: input_ids (T,) and labels (T,), padded to T = seq_len."""
    input_ids = torch.full((seq_len,), pad_id, dtype=torch.long)
    input_ids[: len(ids)] = torch.from_numpy(ids.astype(np.int64))
    labels = input_ids.clone()
    labels[len(ids) :] = IGNORED
    return {"input_ids": input_ids, "labels": labels}


def pack(blocks: Iterable[np.ndarray], seq_len: int, pad_id: int) -> Iterator[Item]:
    """Pack a stream of token blocks into items of `seq_len` tokens (see `as_item`)."""
    rest = np.empty(0, dtype=np.int64)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // seq_len * seq_len
        for start in range(0, whole, seq_len):
            yield as_item(rest[start : start + seq_len], seq_len, pad_id)
        rest = rest[whole:]
    if len(rest) >= 2:
        yield as_item(rest, seq_len, pad_id)


class PackedTokens(Dataset):
    """Sequences over a file of token ids, memory-mapped: only what is read is in memory.

    Args:
        path: File of token ids.
        dtype: NumPy type of the ids in the file.
        n_tokens: Number of ids in the file.
        seq_len: T, tokens of a sequence.
        pad_id: Token that fills up the last sequence.
    """

    def __init__(self, path: Path, dtype: str, n_tokens: int, seq_len: int, pad_id: int) -> None:
        self.path = path
        self.n_tokens = n_tokens
        self.seq_len = seq_len
        self._dtype = dtype
        self._pad_id = pad_id
        self._tokens: np.memmap | None = None

    def __len__(self) -> int:
        return n_sequences(self.n_tokens, self.seq_len)

    def __getitem__(self, index: int) -> Item:
        if not -len(self) <= index < len(self):
            raise IndexError(f"There is no sequence {index}: the data has {len(self)}.")
        start = index % len(self) * self.seq_len
        return as_item(self.tokens[start : start + self.seq_len], self.seq_len, self._pad_id)

    @property
    def tokens(self) -> np.ndarray:
        """All token ids (n_tokens,), memory-mapped and read-only."""
        if self._tokens is None:
            self._tokens = np.memmap(self.path, self._dtype, mode="r", shape=(self.n_tokens,))
        return self._tokens

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_tokens": None}  # a worker maps the file itself

    def __repr__(self) -> str:
        return f"PackedTokens({len(self)} sequences of {self.seq_len}, {self.n_tokens} tokens)"


class StreamedTokens(IterableDataset):
    """Sequences made while reading; each pass reads the source from its beginning.

    With several DataLoader workers, every worker reads everything and yields its share.

    Args:
        source: Text to read.
        part: "train" or "valid".
        tokenizer: Tokenizer with an end-of-text token.
        seq_len: T, tokens of a sequence.
        max_tokens: Number of tokens to stop after; None for all.
    """

    def __init__(
        self,
        source: TextSource,
        part: str,
        tokenizer: PreTrainedTokenizerBase,
        seq_len: int,
        max_tokens: int | None,
    ) -> None:
        self.seq_len = seq_len
        self._source = source
        self._part = part
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        mine, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        pieces = self._source.pieces(self._part)
        blocks = token_blocks(pieces, self._tokenizer, self._max_tokens)
        count = 0
        for item in pack(blocks, self.seq_len, end_of_text_id(self._tokenizer)):
            if count % workers == mine:
                yield item
            count += 1
        if not count:
            raise ValueError(
                f"The {self._part} part of {self._source.name} has fewer than two tokens. Use more "
                "text or another valid_fraction."
            )

    def __repr__(self) -> str:
        return f"StreamedTokens({self._source.name} {self._part}, sequences of {self.seq_len})"

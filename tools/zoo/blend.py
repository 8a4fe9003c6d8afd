"""Training batches drawn from several texts in fixed proportions.

A batch is a pure function of (seed, phase, step): resuming at a step needs no state, and a run that
was interrupted reads exactly the rows that an uninterrupted one reads.
"""

import logging
import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from manticore.data.cache import id_type
from manticore.data.packing import token_blocks
from manticore.data.standard_library import StandardLibrarySource
from manticore.data.token_ids import vocabulary_size
from manticore.stories.generator import generate_stories
from tools.zoo.recipes import PYTHON_SOURCE, STORY_PREFIX, Share, ZooRecipe
from tools.zoo.tokenizer import read_text, spanish_prose

logger = logging.getLogger(__name__)

TRAIN_STORY_SEED = 20_000
HELD_OUT_MODULES = 0.05
"""Share of the standard library that is held out, as by default in `load_text`."""


def encode_documents(
    documents: Iterable[str], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int | None = None
) -> np.ndarray:
    """Token stream of documents, each ended by the end-of-text token.

    Args:
        documents: Texts; reading stops once there are `max_tokens`.
        tokenizer: Tokenizer with an end-of-text token.
        max_tokens: Number of tokens to stop at; None for all.

    Returns:
        Token ids (tokens,), of the smallest type that holds them.
    """
    pieces = ((text, True) for text in documents)
    blocks = list(token_blocks(pieces, tokenizer, max_tokens))
    dtype = id_type(vocabulary_size(tokenizer))
    return np.concatenate(blocks).astype(dtype) if blocks else np.zeros(0, dtype)


def python_modules(part: str) -> Iterator[str]:
    """Modules of the standard library of the running Python, each whole.

    Args:
        part: "train" or "valid".
    """
    pieces: list[str] = []
    for piece, ends_module in StandardLibrarySource("python", HELD_OUT_MODULES).pieces(part):
        pieces.append(piece)
        if ends_module:
            yield "".join(pieces)
            pieces = []


def load_stream(
    share: Share,
    tokenizer: PreTrainedTokenizerBase,
    *,
    data_dir: Path,
    cache: Path,
) -> np.ndarray:
    """Token stream of one part of a recipe, kept in `cache` for the next start.

    Args:
        share: Part of the recipe.
        tokenizer: Tokenizer of the component.
        data_dir: Folder with the text files.
        cache: Folder for the encoded streams of this tokenizer.

    Raises:
        FileNotFoundError: The text is not in `data_dir`.
        ValueError: There are no stories in the language.
    """
    size = platform.python_version() if share.source == PYTHON_SOURCE else share.tokens
    file = cache / f"{re.sub('[^a-z0-9]+', '-', share.source.lower())}-{size}.npy"
    if file.is_file():
        return np.load(file, mmap_mode="r")
    if share.source.startswith(STORY_PREFIX):
        language = share.source.removeprefix(STORY_PREFIX)
        assert share.tokens is not None  # a recipe gives generated text a number of tokens
        # A story has many tokens, so that as many stories as tokens are always enough.
        stories = generate_stories(language, n_stories=share.tokens, seed=TRAIN_STORY_SEED)
        stream = encode_documents(stories, tokenizer, max_tokens=share.tokens)
    elif share.source == PYTHON_SOURCE:
        stream = encode_documents(python_modules("train"), tokenizer)
    else:
        text = read_text(data_dir / share.source)
        if "_es." in share.source:
            text = spanish_prose(text)
        stream = encode_documents([text], tokenizer)
    logger.info("%s: %d tokens", share.source, len(stream))
    cache.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial.npy")
    np.save(partial, stream)
    partial.replace(file)
    return stream


class TokenBlend:
    """Rows of several token streams in fixed proportions, reshuffled and shifted every epoch.

    Args:
        streams: One token array (tokens,) per part.
        fractions: Share of rows per part, summing to 1.
        seq_len: Tokens per row.
        rows: Rows per batch.
        seed: Random seed of order and shifts.

    Raises:
        ValueError: A stream is shorter than two rows, or a fraction is under one row per batch.
    """

    def __init__(
        self,
        streams: Sequence[np.ndarray],
        fractions: Sequence[float],
        *,
        seq_len: int,
        rows: int,
        seed: int,
    ) -> None:
        for index, stream in enumerate(streams):
            if len(stream) < 2 * seq_len:
                raise ValueError(
                    f"Part {index} has {len(stream)} tokens, fewer than two rows of {seq_len}. "
                    "Give more text or a smaller seq_len."
                )
        if min(fractions) * rows < 1:
            raise ValueError(
                f"A part of {min(fractions):.3g} of {rows} rows is less than one row per batch. "
                "Raise the fraction or the rows."
            )
        self.streams = streams
        self.fractions = np.asarray(fractions)
        self.seq_len, self.rows, self.seed = seq_len, rows, seed
        self._orders: dict[tuple[int, int], tuple[int, np.ndarray]] = {}

    def batch(self, step: int) -> torch.Tensor:
        """Token ids (rows, seq_len) of a step, int64."""
        first = step * self.rows
        before = self._counts(first)
        drawn = self._counts(first + self.rows) - before
        picked = [
            self._row(part, before[part] + offset)
            for part in range(len(self.streams))
            for offset in range(drawn[part])
        ]
        return torch.from_numpy(np.stack(picked).astype(np.int64))

    def _counts(self, rows: int) -> np.ndarray:
        """Rows from each part among the first `rows`: the nearest integers that add up."""
        edges = np.floor(np.concatenate([[0.0], np.cumsum(self.fractions)]) * rows + 0.5)
        edges[-1] = rows
        return np.diff(edges).astype(int)

    def _row(self, part: int, position: int) -> np.ndarray:
        stream = self.streams[part]
        per_epoch = len(stream) // self.seq_len - 1
        epoch, index = divmod(position, per_epoch)
        shift, order = self._order(part, epoch, per_epoch)
        start = shift + order[index] * self.seq_len
        return np.asarray(stream[start : start + self.seq_len])

    def _order(self, part: int, epoch: int, per_epoch: int) -> tuple[int, np.ndarray]:
        if (part, epoch) not in self._orders:
            self._orders = {key: v for key, v in self._orders.items() if key[0] != part}
            generator = np.random.default_rng([self.seed, part, epoch])
            shift = int(generator.integers(self.seq_len))
            self._orders[part, epoch] = (shift, generator.permutation(per_epoch))
        return self._orders[part, epoch]


def training_phases(
    recipe: ZooRecipe, tokenizer: PreTrainedTokenizerBase, *, data_dir: Path, cache: Path
) -> list[TokenBlend]:
    """The batches of every phase of a recipe.

    Args:
        recipe: Recipe of the component.
        tokenizer: Tokenizer of the component.
        data_dir: Folder with the text files.
        cache: Folder for the encoded streams of this tokenizer.

    Raises:
        FileNotFoundError: A text is not in `data_dir`.
    """
    streams = [
        load_stream(share, tokenizer, data_dir=data_dir, cache=cache) for share in recipe.data
    ]
    return [
        TokenBlend(
            streams,
            [share.fraction for share in recipe.data],
            seq_len=phase.seq_len,
            rows=phase.rows,
            seed=1000 * recipe.seed + index,
        )
        for index, phase in enumerate(recipe.phases)
    ]

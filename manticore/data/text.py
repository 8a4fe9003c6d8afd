"""`load_text`: any text, tokenized, packed into sequences of one length, with a held-out part."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.data.arguments import check_arguments
from manticore.data.cache import FORMAT, TokenCache, cache_root, digest
from manticore.data.floor import floor_of_stories
from manticore.data.packing import PackedTokens, StreamedTokens, token_blocks
from manticore.data.resolve import open_source
from manticore.data.sources import PARTS, StorySource, TextSource
from manticore.data.token_ids import (
    end_of_text_id,
    tokenizer_fingerprint,
    vocabulary_size,
)
from manticore.paths import absolute
from manticore.stories.entropy import Entropy
from manticore.telling import telling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    Packed = PackedTokens | StreamedTokens

logger = logging.getLogger(__name__)


class TextData:
    """A text packed for training: `train` and `valid` give {"input_ids": (T,), "labels": (T,)}.

    Made by `load_text`.

    Attributes:
        name: Short name of the source.
        seq_len: T, tokens of a sequence.
        train: Sequences to train on: `PackedTokens`, or `StreamedTokens` where streaming.
        valid: Held-out sequences, like `train`.
        n_tokens: Number of tokens in `train`; None where streaming.
    """

    def __init__(
        self,
        source: TextSource,
        train: Packed,
        valid: Packed,
        spec: dict[str, Any],
        tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        self.name = source.name
        self.train = train
        self.valid = valid
        self.seq_len: int = spec["seq_len"]
        self.n_tokens: int | None = getattr(train, "n_tokens", None)
        self._spec = spec
        self._source = source
        self._tokenizer = tokenizer

    @property
    def vocabulary(self) -> int:
        """V, the highest id of the tokenizer plus one."""
        return vocabulary_size(self._tokenizer)

    @property
    def spec(self) -> dict[str, Any]:
        """Arguments of `load_text` but for the tokenizer, and the source's fingerprint."""
        return dict(self._spec)

    @classmethod
    def from_spec(cls, spec: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> TextData:
        """Rebuild the data of `spec`; a source that has changed since is logged as a warning.

        Args:
            spec: Value of the `spec` of the data to rebuild.
            tokenizer: Tokenizer of that data.

        Raises:
            OSError: As `load_text`, like the errors that follow.
            ValueError: The source is not what it was.
        """
        arguments = {name: value for name, value in spec.items() if name != "fingerprint"}
        data = load_text(tokenizer=tokenizer, **arguments)
        if spec.get("fingerprint", data.spec["fingerprint"]) != data.spec["fingerprint"]:
            logger.warning(
                "%s has changed since its spec was made, and so have its tokens.", data.name
            )
        return data

    @staticmethod
    def has_changed(spec: dict[str, Any]) -> bool:
        """Whether the source of `spec` has changed or is gone; False where that is not known."""
        if "fingerprint" not in spec:
            return False
        try:
            return digest(open_source(spec).fingerprint()) != spec["fingerprint"]
        except (FileNotFoundError, ValueError):  # gone, or not a text any more
            return True

    @cached_property
    def floor(self) -> Entropy | None:
        """Entropy in nats per token, which no mean loss can go below; None where it is not known.

        It is known for generated stories under a tokenizer that restores their text. A model that
        sees windows of `seq_len` tokens stays above it (see `entropy_per_token`).
        """
        if not isinstance(self._source, StorySource):
            return None
        root = cache_root(self._spec["cache_dir"])
        floor = floor_of_stories(self._source.language, self._tokenizer, root)
        if floor is None:
            logger.info("No floor is known for %s: its tokenizer changes the text.", self.name)
        return floor

    def __repr__(self) -> str:
        if isinstance(self.train, StreamedTokens) or isinstance(self.valid, StreamedTokens):
            size = "streamed"
        else:
            size = f"{self.n_tokens:,} tokens: {len(self.train):,} + {len(self.valid):,} sequences"
        return f"TextData({self.name!r}, {size} of {self.seq_len})"

    def _repr_html_(self) -> str:
        from manticore.views.objects_html import text_html  # views stand on the engine

        return text_html(self)

    def beginning(self, n_tokens: int = 64) -> str:
        """How the held-out part begins.

        Args:
            n_tokens: Number of tokens.
        """
        first = next(iter(self.valid), None)
        ids = [] if first is None else first["input_ids"][:n_tokens].tolist()
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


def load_text(
    source: str | Path,
    *,
    tokenizer: PreTrainedTokenizerBase,
    seq_len: int = 256,
    valid_fraction: float = 0.05,
    text_column: str = "text",
    config_name: str | None = None,
    streaming: bool = False,
    max_tokens: int | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    document_separator: str | None = None,
) -> TextData:
    """Load, tokenize and pack a text.

    Text is read as UTF-8; files packed with gzip (.gz) are unpacked while they are read. Where the
    tokenizer puts BOS before a text, every document begins with BOS.

    Args:
        source: A text file; a folder of text files (one document each); a data file (.jsonl,
            .json, .parquet, .csv); "NAME:SPLIT" for a data set on the hub or in a folder; or
            "bundled:stories-en", "-es", "-mixed", with "?n_stories=N" for another size; or
            "bundled:python", the standard library of the running Python.
        tokenizer: Tokenizer with an end-of-text token, which ends every document.
        seq_len: T, tokens of a sequence.
        valid_fraction: Share held out: whole documents, or the tail of a single file.
        text_column: Column of a data set that holds the text; rows without text are left out.
        config_name: Configuration of a data set.
        streaming: Tokenize while reading and keep nothing; the sequences are the same.
        max_tokens: Greatest number of tokens to train on (in proportion for validation).
        seed: Random seed of generated stories; of other sources, which documents are held out
            (of "bundled:python", the same modules for every seed).
        cache_dir: Folder for token files; default $MANTICORE_CACHE or ~/.cache/manticore.
        document_separator: Text between the documents of a text file; without it a file is one
            document, so that context continues across its paragraphs.

    Returns:
        The packed text, tokenized already unless `streaming`.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ConnectionError: A data set cannot be reached.
        OSError: The token cache cannot be written.
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of range or does not apply, a name is unknown, or a file is
            empty, too short, damaged or not text.
    """
    arguments = {
        "seq_len": seq_len,
        "valid_fraction": valid_fraction,
        "text_column": text_column,
        "config_name": config_name,
        "streaming": streaming,
        "max_tokens": max_tokens,
        "seed": seed,
        "cache_dir": cache_dir,
        "document_separator": document_separator,
    }
    check_arguments(source, tokenizer, arguments)
    spec = {
        "source": absolute(str(source)),
        **arguments,
        "cache_dir": None if cache_dir is None else str(cache_root(cache_dir)),
    }
    opened = open_source(spec)
    spec["fingerprint"] = digest(opened.fingerprint())
    limits: dict[str, int | None] = dict.fromkeys(PARTS, max_tokens)
    if max_tokens is not None:
        limits["valid"] = max(seq_len, round(max_tokens * valid_fraction))
    make = _stream if streaming else _tokenize
    train, valid = make(opened, tokenizer, spec, limits)
    return TextData(opened, train, valid, spec, tokenizer)


def _stream(
    source: TextSource,
    tokenizer: PreTrainedTokenizerBase,
    spec: dict[str, Any],
    limits: dict[str, int | None],
) -> Sequence[StreamedTokens]:
    return [
        StreamedTokens(source, part, tokenizer, spec["seq_len"], limits[part]) for part in PARTS
    ]


def _tokenize(
    source: TextSource,
    tokenizer: PreTrainedTokenizerBase,
    spec: dict[str, Any],
    limits: dict[str, int | None],
) -> Sequence[PackedTokens]:
    """Tokenize into the cache, or find the tokens there."""
    key = digest([FORMAT, spec["fingerprint"], tokenizer_fingerprint(tokenizer), limits])
    cache = TokenCache(cache_root(spec["cache_dir"]), key, vocabulary_size(tokenizer))
    counts = cache.read()
    if counts is None:
        logger.info("Tokenizing %s into %s.", source.name, cache.folder)
        with telling(f"Tokenizing {source.name}, once per machine"):
            counts = cache.write(
                {part: token_blocks(source.pieces(part), tokenizer, limits[part]) for part in PARTS}
            )
    _check_length(source.name, counts, spec["seq_len"])
    pad = end_of_text_id(tokenizer)
    return [
        PackedTokens(cache.path(part), cache.dtype, counts[part], spec["seq_len"], pad)
        for part in PARTS
    ]


def _check_length(name: str, counts: dict[str, int], seq_len: int) -> None:
    if sum(counts.values()) == 0:
        raise ValueError(f"{name} is empty but for white space. Give a text with words.")
    for part, needed in (("train", seq_len), ("valid", 2)):
        if counts[part] < needed:
            raise ValueError(
                f"{name} is too short: its {part} part has {counts[part]} tokens where at least "
                f"{needed} are needed (seq_len={seq_len}). Use more text, a smaller seq_len or "
                "another valid_fraction."
            )

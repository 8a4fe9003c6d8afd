"""`load_text`: any text, tokenised, packed into sequences of one length, with a held-out part."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset, IterableDataset

from manticore.data.cache import FORMAT, TokenCache, cache_root, digest, tokenizer_fingerprint
from manticore.data.packing import PackedTokens, StreamedTokens, token_blocks
from manticore.data.resolve import open_source
from manticore.data.sources import PARTS, StorySource, TextSource
from manticore.paths import absolute
from manticore.stories.generator import Entropy, entropy_per_token, generate_stories

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


class TextData:
    """A text packed for training: `train` and `valid` give {"input_ids": (T,), "labels": (T,)}.

    Attributes:
        name: short name of the source.
        seq_len: T.
        train, valid: `PackedTokens` (map-style), or `StreamedTokens` where streaming.
        n_tokens: tokens in `train`, None where streaming.
        spec: JSON-able arguments; `from_spec` rebuilds the same data from them.
    """

    def __init__(
        self,
        source: TextSource,
        train: Dataset | IterableDataset,
        valid: Dataset | IterableDataset,
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
        """Entries of the tokenizer."""
        return len(self._tokenizer)

    @property
    def spec(self) -> dict[str, Any]:
        """Arguments of `load_text` (the tokenizer left out) and the fingerprint of the source."""
        return dict(self._spec)

    @classmethod
    def from_spec(cls, spec: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> TextData:
        """Rebuild the data of `spec`; a source that has changed since is logged as a warning."""
        arguments = {name: value for name, value in spec.items() if name != "fingerprint"}
        data = load_text(tokenizer=tokenizer, **arguments)
        if spec.get("fingerprint", data.spec["fingerprint"]) != data.spec["fingerprint"]:
            logger.warning("%s has changed since its spec was made: other tokens follow", data.name)
        return data

    @staticmethod
    def has_changed(spec: dict[str, Any]) -> bool:
        """Whether the source of `spec` is another one now, or gone; not known: False."""
        if "fingerprint" not in spec:
            return False
        try:
            return digest(open_source(spec).fingerprint()) != spec["fingerprint"]
        except FileNotFoundError:
            return True

    @cached_property
    def floor(self) -> Entropy | None:
        """Entropy in nats per token, below which no mean loss can be; None where it isn't known.

        Known for the generated stories under a tokenizer that restores their text. A model that
        sees windows of `seq_len` tokens stays above it (see `entropy_per_token`).
        """
        if not isinstance(self._source, StorySource):
            return None
        for story in generate_stories(self._source.language, n_stories=20, stream="entropy"):
            ids = self._tokenizer(story, add_special_tokens=False, verbose=False)["input_ids"]
            if self._tokenizer.decode(ids, clean_up_tokenization_spaces=False) != story:
                logger.info("no floor is known for %s: the tokenizer changes its text", self.name)
                return None
        return entropy_per_token(self._source.language, self._tokenizer)

    def __repr__(self) -> str:
        if self.n_tokens is None:
            size = "streamed"
        else:
            size = f"{self.n_tokens:,} tokens: {len(self.train):,} + {len(self.valid):,} sequences"
        return f"TextData({self.name!r}, {size} of {self.seq_len})"


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
    """Load, tokenise and pack a text.

    Args:
        source: a text file; a folder of text files (one document each); a data file (.jsonl,
            .parquet, .csv); "NAME:SPLIT" for a data set on the hub or in a folder; or
            "bundled:stories-en", "-es", "-mixed", with "?n_stories=N" for another size.
        tokenizer: must have an end-of-text token, which is put after every document.
        seq_len: T, tokens of a sequence.
        valid_fraction: share held out: whole documents, or the tail of a single file.
        text_column: column of a data set that holds the text.
        config_name: configuration of a data set.
        streaming: tokenise while reading and keep nothing; the sequences are the same.
        max_tokens: use at most this many tokens for training (and in proportion for validation).
        seed: seed of generated stories; of other sources, which documents are held out.
        cache_dir: where token files go; default $MANTICORE_CACHE or ~/.cache/manticore.
        document_separator: text between the documents of a text file; without it a file is one
            document, so that context runs on across its paragraphs.

    Raises:
        FileNotFoundError: no such file or folder.
        ConnectionError: a data set could not be reached.
        OSError: the token cache could not be written.
        ValueError: an argument out of range or not applicable, an unknown name, a file that is
            empty, too short, or not text.
    """
    _check_arguments(tokenizer, seq_len, valid_fraction, max_tokens, document_separator)
    source = absolute(str(source))
    spec = {
        "source": source,
        "seq_len": seq_len,
        "valid_fraction": valid_fraction,
        "text_column": text_column,
        "config_name": config_name,
        "streaming": streaming,
        "max_tokens": max_tokens,
        "seed": seed,
        "cache_dir": None if cache_dir is None else str(cache_root(cache_dir)),
        "document_separator": document_separator,
    }
    opened = open_source(spec)
    spec["fingerprint"] = digest(opened.fingerprint())
    limits = dict.fromkeys(PARTS, max_tokens)
    if max_tokens is not None:
        limits["valid"] = max(seq_len, round(max_tokens * valid_fraction))
    make = _stream if streaming else _tokenise
    train, valid = make(opened, tokenizer, spec, limits)
    return TextData(opened, train, valid, spec, tokenizer)


def _check_arguments(
    tokenizer: PreTrainedTokenizerBase,
    seq_len: int,
    valid_fraction: float,
    max_tokens: int | None,
    document_separator: str | None,
) -> None:
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "the tokenizer has no end-of-text token, which separates documents: set one, e.g. "
            "tokenizer.eos_token = '<|endoftext|>' with a token of its vocabulary"
        )
    if seq_len < 2:
        raise ValueError(f"seq_len is {seq_len}: at least 2 tokens are needed to predict one")
    if not 0 < valid_fraction < 1:
        raise ValueError(f"valid_fraction is {valid_fraction}: it must lie between 0 and 1")
    if max_tokens is not None and max_tokens < seq_len:
        raise ValueError(f"max_tokens is {max_tokens}: it must be at least seq_len ({seq_len})")
    if document_separator is not None and not document_separator:
        raise ValueError("document_separator is empty: pass None to keep a file in one document")


def _stream(
    source: TextSource,
    tokenizer: PreTrainedTokenizerBase,
    spec: dict[str, Any],
    limits: dict[str, int | None],
) -> list[StreamedTokens]:
    return [
        StreamedTokens(source, part, tokenizer, spec["seq_len"], limits[part]) for part in PARTS
    ]


def _tokenise(
    source: TextSource,
    tokenizer: PreTrainedTokenizerBase,
    spec: dict[str, Any],
    limits: dict[str, int | None],
) -> list[PackedTokens]:
    """Tokenise into the cache, or find it there."""
    key = digest([FORMAT, spec["fingerprint"], tokenizer_fingerprint(tokenizer), limits])
    cache = TokenCache(cache_root(spec["cache_dir"]), key, len(tokenizer))
    counts = cache.read()
    if counts is None:
        logger.info("tokenising %s into %s", source.name, cache.folder)
        counts = cache.write(
            {part: token_blocks(source.pieces(part), tokenizer, limits[part]) for part in PARTS}
        )
    _check_length(source.name, counts, spec["seq_len"])
    pad = tokenizer.eos_token_id
    return [
        PackedTokens(cache.path(part), cache.dtype, counts[part], spec["seq_len"], pad)
        for part in PARTS
    ]


def _check_length(name: str, counts: dict[str, int], seq_len: int) -> None:
    if sum(counts.values()) == 0:
        raise ValueError(f"{name} is empty but for white space: there is nothing to train on")
    for part, needed in (("train", seq_len), ("valid", 2)):
        if counts[part] < needed:
            raise ValueError(
                f"{name} is too short: its {part} part has {counts[part]} tokens where at least "
                f"{needed} are needed (seq_len {seq_len}): use more text, a smaller seq_len or "
                "another valid_fraction"
            )

"""Checks of the arguments of `load_text`, before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manticore.data.token_ids import end_of_text_id

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "seq_len": ((int,), "a whole number of tokens"),
    "valid_fraction": ((int, float), "a number between 0 and 1"),
    "text_column": ((str,), "the name of a column"),
    "config_name": ((str, type(None)), "the name of a configuration or None"),
    "streaming": ((bool,), "True or False"),
    "max_tokens": ((int, type(None)), "a whole number of tokens or None"),
    "seed": ((int,), "a whole number"),
    "cache_dir": ((str, Path, type(None)), "a folder or None"),
    "document_separator": ((str, type(None)), "a text or None"),
}


def check_arguments(source: object, tokenizer: object, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of a wrong type or out of range.

    Args:
        source: The source as `load_text` takes it.
        tokenizer: The tokenizer.
        arguments: All other arguments by name.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of range, or the tokenizer has no end-of-text token.
    """
    from transformers import PreTrainedTokenizerBase  # takes a second, and most have it by now

    if not isinstance(source, str | Path):
        raise TypeError(
            f"source={source!r} is not the name of a text. Give a file, a folder, a data set or "
            "bundled:NAME."
        )
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise TypeError(
            f"tokenizer={tokenizer!r} is not a tokenizer of Transformers. Pass that of the hybrid, "
            "hybrid.tokenizer."
        )
    for name, value in arguments.items():
        types, meaning = _TYPES[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise TypeError(f"{name}={value!r} is not of the right type. Pass {meaning}.")
    end_of_text_id(tokenizer)
    _check_ranges(arguments)


def _check_ranges(arguments: Mapping[str, Any]) -> None:
    seq_len, max_tokens = arguments["seq_len"], arguments["max_tokens"]
    if seq_len < 2:
        raise ValueError(f"seq_len={seq_len} is too small. Use at least 2, to predict one token.")
    if not 0 < arguments["valid_fraction"] < 1:
        raise ValueError(
            f"valid_fraction={arguments['valid_fraction']} is out of range. Use a number between 0 "
            "and 1."
        )
    if max_tokens is not None and max_tokens < seq_len:
        raise ValueError(
            f"max_tokens={max_tokens} is less than a sequence. Use at least seq_len={seq_len}."
        )
    if arguments["document_separator"] == "":
        raise ValueError(
            "document_separator is empty. Pass None to keep each file as one document."
        )

"""What a tokenizer's ids are: how many there can be, and which of them begin a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from manticore.data.cache import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def id_count(tokenizer: PreTrainedTokenizerBase) -> int:
    """V, one more than the tokenizer's highest id.

    That is more than its number of tokens where tokens were added beyond a gap.
    """
    special = (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id)
    ids = [*tokenizer.get_vocab().values(), *tokenizer.added_tokens_decoder]
    return 1 + max(ids + [token for token in special if token is not None])


def leading_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids that the tokenizer itself puts before a text, usually none or that of BOS.

    Models that were trained with BOS before every text are far off without it.
    """
    bare = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
    whole = tokenizer("a", verbose=False)["input_ids"]
    for start in range(len(whole) - len(bare) + 1 if bare else 0):
        if whole[start : start + len(bare)] == bare:
            return whole[:start]
    return whole[:1] if whole[:1] == [tokenizer.bos_token_id] else []


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of what decides the ids: a fast tokenizer's state, otherwise the vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        state = sorted(tokenizer.get_vocab().items())
    else:
        state = json.loads(backend.to_str())
        # Left behind by the last call that padded or truncated; ours do neither.
        state.pop("padding", None)
        state.pop("truncation", None)
    name = type(tokenizer).__name__
    return digest([name, state, tokenizer.eos_token_id, leading_ids(tokenizer)])

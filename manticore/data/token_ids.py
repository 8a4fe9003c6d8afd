"""What a tokenizer's ids are: how many there can be, and which of them begin a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from manticore.data.cache import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def vocabulary_size(tokenizer: PreTrainedTokenizerBase) -> int:
    """V, the embeddings that the tokenizer needs: its highest id, plus one.

    That is more than its number of tokens where its ids have gaps.
    """
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def end_of_text_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the token that ends a document.

    Raises:
        ValueError: The tokenizer has none.
    """
    end = tokenizer.eos_token_id
    if not isinstance(end, int):
        raise ValueError(
            "The tokenizer has no end-of-text token, which separates documents. Set one of its "
            "tokens, e.g. tokenizer.eos_token = '<|endoftext|>'."
        )
    return end


def leading_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids that the tokenizer itself puts before a text, usually none or that of BOS.

    Models that were trained with BOS before every text are far off without it.
    """
    if not token_ids([""], tokenizer, special=True)[0]:
        return []
    bare = token_ids(["a"], tokenizer)[0]
    whole = token_ids(["a"], tokenizer, special=True)[0]
    for start in range(len(whole) - len(bare) + 1 if bare else 0):
        if whole[start : start + len(bare)] == bare:
            return whole[:start]
    return whole[:1] if whole[:1] == [tokenizer.bos_token_id] else []


def token_ids(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, *, special: bool = False
) -> list[list[int]]:
    """The ids of each text, however long.

    Args:
        texts: Any texts.
        tokenizer: Any tokenizer.
        special: Whether to put around each text what the tokenizer puts there.
    """
    encoded = tokenizer(
        texts,
        add_special_tokens=special,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # no warning of texts longer than the model's context
    )
    return cast("list[list[int]]", encoded["input_ids"])


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

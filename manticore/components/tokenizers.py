"""One tokenizer for all: transplanting a component onto another vocabulary.

A hybrid has exactly one tokenizer. A component that came with another one gets new embedding and
head rows: copied where both vocabularies have a token of the same text, otherwise averaged over the
component's own tokenization of that text.

Texts are compared as bytes, and as they stand inside a sentence: `Ġfox` of a byte-level vocabulary,
`▁fox` of SentencePiece and `fox` of WordPiece all say " fox". That leaves byte pieces comparable
too: `Ċ` and `<0x0A>` are the same line break.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from manticore.data.token_ids import token_ids, vocabulary_size

logger = logging.getLogger(__name__)

_BYTE_OF = {character: byte for byte, character in bytes_to_unicode().items()}
_BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
_ANCHOR = "a"
_PREFIXES = ("", "\n", _ANCHOR)

Rows = dict[int, list[int]]
"""By id in the new vocabulary: ids of the component's own rows to average over."""


@dataclass(frozen=True)
class TransplantReport:
    """Where a component's rows for the hybrid's vocabulary came from."""

    copied: int
    averaged: int
    empty: int
    """Tokens that the component cannot spell at all; they get its mean row."""

    @property
    def copied_share(self) -> float:
        """Share of the vocabulary whose rows were copied unchanged, 0 to 1."""
        return self.copied / max(1, self.copied + self.averaged + self.empty)

    def __str__(self) -> str:
        return f"{self.copied_share:.0%} of the hybrid's vocabulary was copied, the rest averaged"


def same_vocabulary(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers give the same ids to the same tokens."""
    return one.get_vocab() == other.get_vocab()


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of the tokens that are not text: end of text, padding, unknown, and the like."""
    added = tokenizer.added_tokens_decoder
    return {*tokenizer.all_special_ids, *(index for index in added if added[index].special)}


def transplant(
    model: PreTrainedModel, own: PreTrainedTokenizerBase, new: PreTrainedTokenizerBase
) -> TransplantReport:
    """Give `model` the vocabulary of `new`, in place.

    Args:
        model: The component's causal language model.
        own: The tokenizer that it was trained with.
        new: The hybrid's tokenizer.

    Returns:
        Number of rows that were copied, averaged, and neither.
    """
    copied, averaged = _row_sources(own, new)
    size = vocabulary_size(new)
    report = _report(copied, averaged, size)
    sources = [copied.get(index) or averaged.get(index, []) for index in range(size)]
    embedding = cast("nn.Embedding", model.get_input_embeddings())
    head = cast("nn.Linear", model.get_output_embeddings())
    tied = head.weight is embedding.weight
    bias: torch.Tensor | None = getattr(head, "bias", None)
    with torch.no_grad():
        rows = nn.Parameter(_gather(embedding.weight, sources))
        head_rows = rows if tied else nn.Parameter(_gather(head.weight, sources))
        if bias is not None:
            head.bias = nn.Parameter(_gather(bias[:, None], sources)[:, 0])
    embedding.weight, embedding.num_embeddings = rows, size
    head.weight, head.out_features = head_rows, size
    if embedding.padding_idx is not None:
        embedding.padding_idx = cast("int | None", new.pad_token_id)
    model.config.vocab_size = size
    if hasattr(model, "vocab_size"):
        model.vocab_size = size  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(new, name))
        setattr(model.generation_config, name, getattr(new, name))
    logger.info("transplanted a vocabulary: %.1f%% of rows copied", 100 * report.copied_share)
    return report


def transplant_report(
    own: PreTrainedTokenizerBase, new: PreTrainedTokenizerBase
) -> TransplantReport:
    """What `transplant` would do, from the tokenizers alone.

    Args:
        own: The tokenizer that a component was trained with.
        new: The hybrid's tokenizer.

    Returns:
        Number of rows that would be copied, averaged, and neither.
    """
    copied, averaged = _row_sources(own, new)
    return _report(copied, averaged, vocabulary_size(new))


def _report(copied: Rows, averaged: Rows, size: int) -> TransplantReport:
    return TransplantReport(len(copied), len(averaged), size - len(copied) - len(averaged))


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """What each token adds to a text; together they are the text.

    A token that ends within a character adds nothing, and the one that completes it all of it.

    Args:
        tokenizer: Tokenizer of the ids.
        ids: Token ids of the text, T of them.
    """
    texts, start, told = [], 0, 0
    for end in range(1, len(ids) + 1):
        # With the token before, as some decoders leave out a space at the very beginning.
        before = _decoded(tokenizer, ids[start:told])
        text = _decoded(tokenizer, ids[start:end])
        if text.endswith("\ufffd") and end < len(ids):
            texts.append("")
        else:
            texts.append(text[len(before) :])
            start, told = told, end
    return texts


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)) if ids else ""


def _row_sources(own: PreTrainedTokenizerBase, new: PreTrainedTokenizerBase) -> tuple[Rows, Rows]:
    """Where the new rows come from: those to copy (one id each) and those to average."""
    own_ids: dict[bytes, int] = {}
    for index, text in _texts(own).items():
        own_ids.setdefault(text, index)
    copied = _special_rows(own, new)
    averaged: Rows = {}
    unmatched: dict[int, str] = {}
    for index, text in _texts(new).items():
        if text in own_ids:
            copied[index] = [own_ids[text]]
            continue
        try:
            unmatched[index] = text.decode()
        except UnicodeDecodeError:  # A piece of a character: nothing that a tokenizer takes.
            pieces = [own_ids[bytes([byte])] for byte in text if bytes([byte]) in own_ids]
            if len(pieces) == len(text):
                averaged[index] = pieces
    spelled = _spell(own, list(unmatched.values()))
    averaged |= {index: ids for index, ids in zip(unmatched, spelled, strict=True) if ids}
    return copied, averaged


def _special_rows(own: PreTrainedTokenizerBase, new: PreTrainedTokenizerBase) -> Rows:
    """Special tokens say nothing as text: they match by role, else by name, else not at all."""
    own_special = {own.convert_ids_to_tokens(index): index for index in special_ids(own)}
    rows = {}
    for index in special_ids(new):
        named = own_special.get(new.convert_ids_to_tokens(index))
        if named is not None:
            rows[index] = [named]
    # Where one token has several roles, as in GPT-2, the later here wins.
    for role in ("unk_token_id", "pad_token_id", "bos_token_id", "eos_token_id"):
        if getattr(new, role) is not None and getattr(own, role) is not None:
            rows[getattr(new, role)] = [getattr(own, role)]
    return rows


def _texts(tokenizer: PreTrainedTokenizerBase) -> dict[int, bytes]:
    """By id: each token's text inside a sentence, without the special tokens.

    Fallback bytes come last: the letter `A` is in use, its byte `<0x41>` is not.
    """
    special = special_ids(tokenizer)
    tokens = sorted(
        (bool(_BYTE_FALLBACK.fullmatch(token)), index, token)
        for token, index in tokenizer.get_vocab().items()
        if index not in special
    )
    decoded = _decode_inside(tokenizer, [[index] for _, index, _ in tokens])
    return {
        index: _as_bytes(token, text)
        for (_, index, token), text in zip(tokens, decoded, strict=True)
    }


def _as_bytes(token: str, text: str) -> bytes:
    """A token's text as bytes; a piece of a character has no text, and is read off the token."""
    if "\ufffd" in text:
        if fallback := _BYTE_FALLBACK.fullmatch(token):
            return bytes([int(fallback[1], 16)])
        if all(character in _BYTE_OF for character in token):
            return bytes(_BYTE_OF[character] for character in token)
    return (text or token).encode()


def _decode_inside(tokenizer: PreTrainedTokenizerBase, rows: list[list[int]]) -> list[str]:
    """The texts of rows of ids as they are inside a sentence.

    At the start of a sentence, decoders drop the space of `▁fox` and write none before `fox` of
    WordPiece; so all is decoded behind a letter, which is then cut off.
    """
    (anchor,) = _encode(tokenizer, [_ANCHOR])
    texts = tokenizer.batch_decode(
        [anchor[-1:], *(anchor[-1:] + row for row in rows)], clean_up_tokenization_spaces=False
    )
    return [text.removeprefix(texts[0]) for text in texts[1:]]


def _spell(own: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Own ids that spell each text as it is inside a sentence; none where that is impossible.

    Many tokenizers put a space before whatever they get, so each text is also tried behind a line
    break and a letter, until its ids decode to just that text. Where they never do (a tokenizer may
    change letters to lower case, say), the shortest try stands.
    """
    spelled: list[list[int] | None] = [None] * len(texts)
    left = list(range(len(texts)))
    for prefix in _PREFIXES:
        head, *rows = _encode(own, [prefix, *(prefix + texts[i] for i in left)])
        tried = {
            i: [index for index in row[len(head) :] if index != own.unk_token_id]
            for i, row in zip(left, rows, strict=True)
            if row[: len(head)] == head  # Else the text has merged with the prefix.
        }
        exact = set()
        for i, found in zip(tried, _decode_inside(own, list(tried.values())), strict=True):
            if found == texts[i]:
                exact.add(i)
            known = spelled[i]
            if i in exact or known is None or len(tried[i]) < len(known):
                spelled[i] = tried[i]
        left = [i for i in left if i not in exact]
    return [ids or [] for ids in spelled]


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    return token_ids(texts, tokenizer)


def _gather(rows: torch.Tensor, sources: list[list[int]]) -> torch.Tensor:
    """(V_new, d): the mean of the given rows for each new token; the overall mean for none."""
    sizes = torch.tensor([len(ids) for ids in sources], device=rows.device)
    flat = torch.tensor([index for ids in sources for index in ids], device=rows.device)
    wide = rows.float()
    gathered = nn.functional.embedding_bag(
        flat.long(), wide, offsets=sizes.cumsum(0) - sizes, mode="mean"
    )
    gathered[sizes == 0] = wide.mean(dim=0)
    return gathered.to(rows.dtype)

"""One tokenizer for all: transplanting a component onto another vocabulary.

A hybrid has exactly one tokenizer. A component that came with another one gets new embedding and
head rows: copied where both vocabularies hold the same token text, else the average over the
component's own tokenisation of that text.
"""

import logging
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransplantReport:
    """How a component's rows for the hybrid's vocabulary came about."""

    copied: int
    averaged: int
    empty: int
    """Tokens that the component cannot write at all; they get its mean row."""

    @property
    def copied_share(self) -> float:
        """Share of the vocabulary whose rows were copied as they were, 0 to 1."""
        return self.copied / max(1, self.copied + self.averaged + self.empty)


def same_vocabulary(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers give the same ids to the same tokens."""
    return one.get_vocab() == other.get_vocab()


def transplant(
    model: PreTrainedModel, own: PreTrainedTokenizerBase, new: PreTrainedTokenizerBase
) -> TransplantReport:
    """Give `model` the vocabulary of `new`, in place.

    Args:
        model: The component's causal language model.
        own: The tokenizer that it was trained with.
        new: The hybrid's tokenizer.

    Returns:
        How many rows were copied and how many averaged.
    """
    sources = _row_sources(own, new)
    embedding = model.get_input_embeddings()
    head = model.get_output_embeddings()
    tied = head.weight is embedding.weight
    with torch.no_grad():
        rows = _gather(embedding.weight, sources)
        head_rows = None if tied else _gather(head.weight, sources)
        bias = getattr(head, "bias", None)
        head_bias = None if bias is None else _gather(bias[:, None], sources)[:, 0]
    _replace_rows(embedding, rows)
    _replace_rows(head, embedding.weight if tied else head_rows, head_bias)
    model.config.vocab_size = len(sources)
    if hasattr(model, "vocab_size"):
        model.vocab_size = len(sources)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(new, name))
    copied = sum(len(source) == 1 and exact for source, exact in sources)
    empty = sum(not source for source, _ in sources)
    report = TransplantReport(copied, len(sources) - copied - empty, empty)
    logger.info("transplanted a vocabulary: %.1f%% of rows copied", 100 * report.copied_share)
    return report


def _row_sources(
    own: PreTrainedTokenizerBase, new: PreTrainedTokenizerBase
) -> list[tuple[list[int], bool]]:
    """For every id of `new`: the ids of `own` to average over, and whether the text is the same."""
    by_text = {_text(own, token, index): index for token, index in own.get_vocab().items()}
    special = {
        getattr(new, f"{role}_token_id"): getattr(own, f"{role}_token_id")
        for role in ("bos", "eos", "pad", "unk")
    }
    vocabulary = sorted(new.get_vocab().items(), key=lambda item: item[1])
    sources: list[tuple[list[int], bool]] = [([], False)] * (vocabulary[-1][1] + 1)
    for token, index in vocabulary:
        if special.get(index) is not None:
            sources[index] = ([special[index]], True)
            continue
        text = _text(new, token, index)
        if text in by_text:
            sources[index] = ([by_text[text]], True)
        else:
            sources[index] = (own(text, add_special_tokens=False)["input_ids"], False)
    return sources


def _text(tokenizer: PreTrainedTokenizerBase, token: str, index: int) -> str:
    """The token's text. Pieces of a byte sequence have none of their own; the token itself stands
    for them, so that they match between byte-level vocabularies."""
    text = tokenizer.decode([index], clean_up_tokenization_spaces=False)
    return token if "\ufffd" in text or not text else text


def _gather(rows: torch.Tensor, sources: list[tuple[list[int], bool]]) -> torch.Tensor:
    """(V_new, d): the mean of the given rows for each new token; the overall mean for none."""
    mean = rows.float().mean(dim=0)
    gathered = [rows[ids].float().mean(dim=0) if ids else mean for ids, _ in sources]
    return torch.stack(gathered).to(rows.dtype)


def _replace_rows(
    module: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> None:
    module.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight)
    if bias is not None:
        module.bias = nn.Parameter(bias)
    for size in ("num_embeddings", "out_features"):
        if hasattr(module, size):
            setattr(module, size, weight.shape[0])

"""What the diagram says of a hybrid at mixture weights that somebody tries by hand."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from manticore.evaluate.by_hand import perplexity_at, try_mixture_weights
from manticore.views.plots.theme import short_names

if TYPE_CHECKING:
    from manticore.data import TextData
    from manticore.hybrid import ManticoreForCausalLM

READ_SEQUENCES, READ_TOKENS = 4, 96
"""Held-out text that is measured on, so little that an answer comes within a second."""


def beginnings(data: "TextData") -> torch.Tensor:
    """The beginnings of the first held-out sequences of a text, (n, T) token ids."""
    valid: Any = data.valid
    n = min(READ_SEQUENCES, len(valid))
    return torch.stack([valid[i]["input_ids"][:READ_TOKENS] for i in range(n)])


def ends_of(hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor) -> list[tuple[str, float]]:
    """Perplexity of a hybrid as it is, and of each component alone, with their labels.

    Args:
        hybrid: The hybrid.
        input_ids: (n, T) token ids.
    """
    names = short_names(hybrid.component_names)
    rows = [("as found", perplexity_at(hybrid, input_ids))]
    for k, name in enumerate(names):
        alone = [[float(i == k) for i in range(len(names))]] * hybrid.config.n_blocks
        rows.append((f"{name} alone", perplexity_at(hybrid, input_ids, alone)))
    return rows


def answer(
    hybrid: "ManticoreForCausalLM",
    input_ids: torch.Tensor,
    prompt: str,
    weights: Sequence[Sequence[float]] | None,
    ends: Sequence[tuple[str, float]],
    about: str,
) -> dict[str, Any]:
    """What the diagram shows below the lanes.

    Args:
        hybrid: The hybrid with its tokenizer; it stays as it is.
        input_ids: (n, T) token ids that perplexity is measured on.
        prompt: Beginning that is continued.
        weights: (N, K) mixture weights; the hybrid's own if None.
        ends: What it is compared with, from `ends_of`.
        about: What is measured on, in words.

    Raises:
        ValueError: As `try_mixture_weights`.
    """
    tried = try_mixture_weights(hybrid, input_ids, prompt, weights)
    return {
        **asdict(tried),
        "next": [{"text": text, "probability": share} for text, share in tried.next],
        "prompt": prompt,
        "compared": list(ends),
        "about": about,
    }

"""What a hybrid does at mixture weights that somebody tries by hand; the hybrid stays as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from manticore.components.tokenizers import token_texts
from manticore.hybrid.generation import fitting_prompt
from manticore.hybrid.mixture import check_mixture_weights
from manticore.hybrid.parts import evaluating

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from manticore.hybrid import ManticoreForCausalLM

CONTINUED_TOKENS = 16
LIKELIEST = 5


@dataclass(frozen=True)
class Tried:
    """What was found at some mixture weights.

    Attributes:
        perplexity: Perplexity on the text.
        next: The likeliest tokens after the prompt with their probabilities, the first one first.
        continuation: What the hybrid writes after the prompt, the likeliest token every time.
    """

    perplexity: float
    next: Sequence[tuple[str, float]]
    continuation: str


@torch.no_grad()
def perplexity_at(
    hybrid: "ManticoreForCausalLM",
    input_ids: torch.Tensor,
    mixture_weights: Sequence[Sequence[float]] | None = None,
) -> float:
    """Perplexity of a hybrid at other mixture weights than its own.

    Args:
        hybrid: The hybrid; it is put back into the mode it was in.
        input_ids: (n, T) token ids.
        mixture_weights: (N, K) mixture weights; the hybrid's own if None.

    Raises:
        ValueError: Wrong mixture weights.
    """
    options = _options(hybrid, mixture_weights)
    with evaluating(hybrid):
        ids = input_ids.to(hybrid.device)
        logits = hybrid(ids, use_cache=False, **options).logits[:, :-1]
        return exp(cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten()).item())


@torch.no_grad()
def try_mixture_weights(
    hybrid: "ManticoreForCausalLM",
    input_ids: torch.Tensor,
    prompt: str,
    mixture_weights: Sequence[Sequence[float]] | None = None,
) -> Tried:
    """Measure a hybrid at other mixture weights than its own, and let it write.

    Args:
        hybrid: The hybrid with its tokenizer; it is put back into the mode it was in.
        input_ids: (n, T) token ids of the text that perplexity is measured on.
        prompt: Beginning that is continued; not empty.
        mixture_weights: (N, K) mixture weights; the hybrid's own if None.

    Raises:
        ValueError: Wrong mixture weights, an empty prompt, or a hybrid without a tokenizer.
    """
    tokenizer = continuing_tokenizer(hybrid, prompt)
    begun, most = fitting_prompt(hybrid, prompt, CONTINUED_TOKENS)
    with evaluating(hybrid):
        written = hybrid.generate(
            begun,
            max_new_tokens=most,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            **_options(hybrid, mixture_weights),
        )
    shares, tokens = written.logits[0][0].float().softmax(dim=-1).topk(LIKELIEST)
    texts = [token_texts(tokenizer, [token])[0] for token in tokens.tolist()]
    new = written.sequences[0, begun.shape[1] :]
    after = str(tokenizer.decode(new, skip_special_tokens=True))
    return Tried(
        perplexity_at(hybrid, input_ids, mixture_weights),
        list(zip(texts, shares.tolist(), strict=True)),
        after,
    )


def continuing_tokenizer(hybrid: "ManticoreForCausalLM", prompt: str) -> "PreTrainedTokenizerBase":
    """The tokenizer that a prompt is read with; what cannot be continued is refused.

    Raises:
        ValueError: An empty prompt, or a hybrid without a tokenizer.
    """
    if hybrid.tokenizer is None or not prompt.strip():
        raise ValueError("Nothing can be continued: give a prompt, and a hybrid with a tokenizer.")
    return hybrid.tokenizer


def _options(
    hybrid: "ManticoreForCausalLM", mixture_weights: Sequence[Sequence[float]] | None
) -> dict[str, torch.Tensor]:
    """What the hybrid is called with."""
    if mixture_weights is None:
        return {}
    shape = (hybrid.config.n_blocks, len(hybrid.components))
    alpha = check_mixture_weights(mixture_weights, *shape)
    return {"mixture_weights": alpha.to(hybrid.device)}

"""Who wrote which word: how probable each token of a text was, to a hybrid and its components.

Every component reads the same text alone, one pass each, so that its probability of a token is what
it would have been had the component written there itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from manticore.components.tokenizers import token_texts
from manticore.hybrid.generation import tokenizer_of
from manticore.hybrid.parts import evaluating

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

RUNNERS_UP = 4


@dataclass(frozen=True)
class WrittenToken:
    """One token of a text, as it was predicted from the tokens before it.

    Attributes:
        text: What it adds to the text.
        probability: Its probability under the hybrid, at temperature 1.
        components: (K,) its probability under each component alone.
        runners_up: The hybrid's likeliest other tokens with their probabilities, likeliest first.
        weights: (N, K) routed mixture weights that it was predicted with; None if they are static.
    """

    text: str
    probability: float
    components: Sequence[float]
    runners_up: Sequence[tuple[str, float]]
    weights: Sequence[Sequence[float]] | None


@dataclass(frozen=True)
class WhoWrote:
    """The tokens of a text with the components' share in each.

    Attributes:
        tokens: The tokens.
        components: Names of the K components.
    """

    tokens: Sequence[WrittenToken]
    components: Sequence[str]

    @property
    def is_routed(self) -> bool:
        """Whether each token has mixture weights of its own."""
        return any(token.weights is not None for token in self.tokens)


@torch.no_grad()
def who_wrote(
    hybrid: "ManticoreForCausalLM", text: str | Sequence[int], start: int = 1
) -> WhoWrote:
    """How probable each token of a text was, to the hybrid and to each component alone.

    Args:
        hybrid: The hybrid with its tokenizer; it is put back into the mode it was in.
        text: Text, or its T token ids.
        start: Index of the first token that is wanted, at least 1: nothing predicts the first one.

    Raises:
        ValueError: The hybrid has no tokenizer, there is no token from `start` on, or the text is
            longer than a component can read.
    """
    tokenizer = tokenizer_of(hybrid)
    if isinstance(text, str):
        text = tokenizer(text, verbose=False)["input_ids"]
    ids = torch.tensor(list(text), dtype=torch.long)  # (T,)
    if len(ids) < 2:
        raise ValueError(
            "The text has fewer than two tokens, and nothing predicts the first one: give more."
        )
    if not 1 <= start < len(ids):
        raise ValueError(
            f"start={start} leaves no predicted token in a text of {len(ids)} tokens: give 1 to "
            f"{len(ids) - 1}."
        )
    with evaluating(hybrid):
        own = _predicted(hybrid, hybrid, ids, start)
        chosen = ids[start:, None]
        of_hybrid = own.gather(1, chosen)[:, 0].tolist()
        alone = [
            _predicted(hybrid, model, ids, start).gather(1, chosen)[:, 0].tolist()
            for model in hybrid.components
        ]
    others = own.scatter(1, chosen, -1.0).topk(min(RUNNERS_UP, own.shape[1] - 1))
    weights = hybrid.mixture_of(ids)[start - 1 : -1].tolist() if hybrid.is_routed else None
    texts = token_texts(tokenizer, ids.tolist())[start:]
    tokens = [
        WrittenToken(
            text,
            of_hybrid[t],
            [shares[t] for shares in alone],
            [
                (token_texts(tokenizer, [token])[0], share)
                for token, share in zip(
                    others.indices[t].tolist(), others.values[t].tolist(), strict=True
                )
            ],
            None if weights is None else weights[t],
        )
        for t, text in enumerate(texts)
    ]
    return WhoWrote(tokens, hybrid.component_names)


def _predicted(
    hybrid: "ManticoreForCausalLM", model: torch.nn.Module, ids: torch.Tensor, start: int
) -> torch.Tensor:
    """(T - start, V) probabilities of the tokens from `start` on, as a model predicts them."""
    logits = model(input_ids=ids[None].to(hybrid.device), use_cache=False).logits
    # Some components have more rows than the hybrid's vocabulary has tokens.
    return logits[0, start - 1 : -1, : hybrid.config.vocab_size].float().softmax(dim=-1).cpu()

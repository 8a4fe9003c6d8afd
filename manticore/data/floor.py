"""The floor of the loss on generated stories: their entropy per token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manticore.data.packing import separator_ids
from manticore.data.token_ids import token_ids
from manticore.stories.entropy import SAMPLE, Entropy, entropy_per_unit, entropy_stories

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def entropy_per_token(
    language: str, tokenizer: PreTrainedTokenizerBase, *, n: int = SAMPLE, seed: int = 0
) -> Entropy:
    """Entropy rate of stories in nats per token, end-of-text (and BOS where used) included.

    This is the floor of the mean cross-entropy, E[nats of a story] / E[tokens of a story], as
    tokens are a function of the text. A model that sees windows, and so lacks what came before,
    stays above it. For a tokenizer that does not restore the text (lower-casing, unknown tokens) it
    is an upper bound of the entropy of the tokens and not a floor.

    Args:
        language: Language of the stories (see `generate_stories`).
        tokenizer: Tokenizer with an end-of-text token.
        n: Number of stories to measure on.
        seed: Random seed of these stories.

    Raises:
        ValueError: Unknown language, or n < 2.
    """
    stories = entropy_stories(language, n=n, seed=seed)
    around = len(separator_ids(tokenizer))
    lengths = [len(ids) + around for ids in token_ids([s.text for s in stories], tokenizer)]
    return entropy_per_unit(stories, lengths, "nats per token")

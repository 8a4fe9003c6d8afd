"""Generated short stories in English and Spanish, and their exact entropy.

Every story is a sequence of draws of known probability, so -log p of a story's draws is known
exactly. The grammar is unambiguous (the tests find all derivations of sampled stories: one each),
so that is -log p of the text itself, and its mean is the entropy of the language: no model can have
a lower expected loss.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from manticore.stories.grammar import Sampler, derivations
from manticore.stories.plot import tell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LANGUAGES = ("en", "es", "mixed")
ENTROPY_SAMPLE = 2000


class Story(NamedTuple):
    """A story and the surprisal of the draws that made it, in nats."""

    text: str
    nats: float


def _check_language(language: str) -> None:
    if language not in LANGUAGES:
        raise ValueError(
            f"unknown story language {language!r}: choose one of {', '.join(LANGUAGES)}"
        )


def sample_stories(
    language: str, *, n_stories: int, seed: int = 0, stream: str = "train"
) -> Iterator[Story]:
    """Yield `n_stories` stories with their -log p.

    Story i depends only on (language, seed, stream, i): the same arguments give the same stories, a
    longer run begins with the shorter one, and other seeds or streams give independent stories.

    Args:
        language: "en", "es", or "mixed" (a fair coin for every story).
        n_stories: how many.
        seed: which family of streams.
        stream: a name within the family, e.g. "train" or "valid".

    Raises:
        ValueError: unknown language or a negative `n_stories`.
    """
    _check_language(language)
    if n_stories < 0:
        raise ValueError(f"n_stories is {n_stories}: it must be at least 0")
    return _sample(language, n_stories, f"{language}/{seed}/{stream}")


def _sample(language: str, n_stories: int, key: str) -> Iterator[Story]:
    for i in range(n_stories):
        digest = hashlib.sha256(f"{key}/{i}".encode()).digest()
        source = Sampler(random.Random(int.from_bytes(digest[:8], "big")))
        spoken = language if language != "mixed" else ("en", "es")[source.pick(2)]
        tell(source, spoken)
        yield Story(source.text(), source.nats)


def generate_stories(
    language: str, *, n_stories: int, seed: int = 0, stream: str = "train"
) -> Iterator[str]:
    """Yield the texts of `sample_stories` (same arguments and errors)."""
    return (s.text for s in sample_stories(language, n_stories=n_stories, seed=seed, stream=stream))


def story_log_probability(text: str, language: str) -> tuple[float, int]:
    """Return (log p(text), number of derivations), found by searching them all; -inf for none.

    Takes about 0.1 s. Raises ValueError for an unknown language.
    """
    _check_language(language)
    spoken = ("en", "es") if language == "mixed" else (language,)
    found = [d.nats for one in spoken for d in derivations(partial(tell, language=one), text)]
    if not found:
        return -math.inf, 0
    return math.log(sum(math.exp(-nats) for nats in found)) - math.log(len(spoken)), len(found)


@dataclass(frozen=True)
class Entropy:
    """An entropy in nats: the mean of exact surprisals over `n` independent stories."""

    nats: float
    standard_error: float
    n: int
    unit: str

    def __float__(self) -> float:
        return self.nats

    def __str__(self) -> str:
        return f"{self.nats:.4f} ± {self.standard_error:.4f} {self.unit}"


def story_entropy(language: str, *, n: int = ENTROPY_SAMPLE, seed: int = 0) -> Entropy:
    """Entropy of one story in nats, from `n` stories of a stream that no data set uses.

    Raises ValueError for an unknown language or n < 2.
    """
    nats = [s.nats for s in _entropy_sample(language, n, seed)]
    return _mean([(x, 1) for x in nats], "nats per story")


def entropy_per_token(
    language: str, tokenizer: PreTrainedTokenizerBase, *, n: int = ENTROPY_SAMPLE, seed: int = 0
) -> Entropy:
    """Entropy rate in nats per token of stories under `tokenizer`, an end-of-text token after each.

    This is the floor of the mean cross-entropy, E[nats of a story] / E[tokens of a story + 1], as
    tokens are a function of the text. A model that sees windows, and so lacks what came before,
    stays above it. For a tokenizer that does not restore the text (lower-casing, unknown tokens) it
    is an upper bound of the tokens' entropy and no floor.

    Raises ValueError for an unknown language or n < 2.
    """
    stories = list(_entropy_sample(language, n, seed))
    encoded = tokenizer([s.text for s in stories], add_special_tokens=False)["input_ids"]
    pairs = [(s.nats, len(ids) + 1) for s, ids in zip(stories, encoded, strict=True)]
    return _mean(pairs, "nats per token")


def _entropy_sample(language: str, n: int, seed: int) -> Iterator[Story]:
    if n < 2:
        raise ValueError(f"n is {n}: at least 2 stories are needed for a standard error")
    return sample_stories(language, n_stories=n, seed=seed, stream="entropy")


def _mean(pairs: list[tuple[float, int]], unit: str) -> Entropy:
    """Ratio of means with its standard error (delta method)."""
    n = len(pairs)
    weight = sum(w for _, w in pairs) / n
    ratio = sum(x for x, _ in pairs) / n / weight
    variance = sum((x - ratio * w) ** 2 for x, w in pairs) / (n - 1)
    return Entropy(ratio, math.sqrt(variance / n) / weight, n, unit)

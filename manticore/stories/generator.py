"""Generated short stories in several languages, and the probability of each.

Every story is a sequence of draws of known probability, so -log p of a story's draws is known
exactly. The grammar is unambiguous (the tests find all derivations of sampled stories: one each),
so that this is -log p of the text itself, and its mean is the entropy of the language: no model
can have a lower expected loss.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from manticore.names import choose
from manticore.stories.grammar import Sampler, derivations
from manticore.stories.lexicon import SPOKEN, lexicon
from manticore.stories.plot import tell

BLENDED = ("en", "es")
"""Languages of "mixed", which the bundled components know; a new language changes nothing there."""
LANGUAGES = {
    **{code: lexicon(code).language for code in SPOKEN},
    "mixed": " and ".join(lexicon(code).language for code in BLENDED),
}
"""What stories can be told in, with its name for people."""


class Story(NamedTuple):
    """A story and the surprisal of the draws that made it, in nats."""

    text: str
    nats: float


def sample_stories(
    language: str, *, n_stories: int, seed: int = 0, stream: str = "train"
) -> Iterator[Story]:
    """Yield `n_stories` stories with their -log p.

    Story i depends only on (language, seed, stream, i): the same arguments give the same stories, a
    longer run begins with the shorter one, and other seeds or streams give independent stories.

    Args:
        language: One of `LANGUAGES`; "mixed" tosses a fair coin for every story.
        n_stories: Number of stories.
        seed: Random seed.
        stream: Name of an independent stream of the seed, e.g. "train" or "valid".

    Raises:
        ValueError: Unknown language, or a negative `n_stories`.
    """
    choose(language, LANGUAGES, "story language")
    if n_stories < 0:
        raise ValueError(f"n_stories={n_stories} is negative. Use 0 or more.")
    return _sample(language, n_stories, f"{language}/{seed}/{stream}")


def _sample(language: str, n_stories: int, key: str) -> Iterator[Story]:
    for i in range(n_stories):
        digest = hashlib.sha256(f"{key}/{i}".encode()).digest()
        source = Sampler(random.Random(int.from_bytes(digest[:8], "big")))
        spoken = BLENDED[source.pick(len(BLENDED))] if language == "mixed" else language
        tell(source, spoken)
        yield Story(source.text(), source.nats)


def generate_stories(
    language: str, *, n_stories: int, seed: int = 0, stream: str = "train"
) -> Iterator[str]:
    """Yield the texts of `sample_stories`, which has the same arguments and errors."""
    return (s.text for s in sample_stories(language, n_stories=n_stories, seed=seed, stream=stream))


def story_log_probability(text: str, language: str) -> tuple[float, int]:
    """Find all derivations of a text, which takes about 0.1 s.

    Args:
        text: A text, written by the generator or not.
        language: One of `LANGUAGES`.

    Returns:
        log p(text), -inf if the grammar cannot write it, and the number of derivations.

    Raises:
        ValueError: Unknown language.
    """
    choose(language, LANGUAGES, "story language")
    spoken = BLENDED if language == "mixed" else (language,)
    found = [d.nats for one in spoken for d in derivations(partial(tell, language=one), text)]
    if not found:
        return -math.inf, 0
    return math.log(sum(math.exp(-nats) for nats in found)) - math.log(len(spoken)), len(found)

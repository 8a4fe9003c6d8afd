"""Stories that are told twice: in Spanish, and sentence by sentence in English.

Both languages of `manticore.stories` have the same plots and the same sentences in the same order,
but names of their own, and words in another order. Here each English word is the translation of the
Spanish one at the same place of its list, names stay as they are, and a draw depends on the list
that it is drawn from, not on where a language mentions it. So the same seed tells the same tale.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import count
from typing import NamedTuple

from manticore.stories.grammar import Sampler
from manticore.stories.lexicon import Lexicon, lexicon
from manticore.stories.narrator import compile_rules
from manticore.stories.plot import Plot

SPOKEN = ("es", "en")
_MARK = "\x1f"
"""Begins what a rule of the plot tells, until the tale is cut there."""

POOLS = {
    "jobs": "baker, gardener, painter, shepherd, carpenter, miller, sailor, weaver, cook, teacher, "
    "farmer, potter, clockmaker, shoemaker, fisher, woodcutter, blacksmith, violinist, beekeeper, "
    "letter carrier",
    "traits": "kind, brave, curious, shy, cheerful, patient, clever, quiet, generous, dreamy, "
    "honest, careful, friendly, stubborn, hardworking",
    "moods": "happy, calm, proud, grateful, full of hope, tired but happy, very sleepy, "
    "a little sad, thoughtful, very content, at peace, in high spirits",
    "animal_traits": "old, young, thin, large, small, grey, calm, wise, hungry, friendly",
    "foods": "bread and honey, warm soup, apple pie, roasted chestnuts, cheese and pears, "
    "lemon cake, oat biscuits, fresh figs, rice pudding, boiled eggs, sweet grapes, "
    "potato omelette, walnuts and raisins, baked potatoes, tuna pie",
}
"""English words in the order of the Spanish ones, where that of the English file differs."""
NOUNS = {
    "things": "lantern, flute, basket, kite, blanket, bell, box, scarf, cup, ball, bag, key, "
    "candle, feather, drum, hat, mirror, comb, book, map, ring, whistle, coat, lamp, handkerchief, "
    "jar",
    "animals": "fox, owl, donkey, bear, cat, hedgehog, crow, deer, goat, squirrel, hare, heron, "
    "tortoise, dove",
}
"""The same of nouns, which have their gender from the Spanish ones."""
LISTS = {
    "sky": "sunny, windy, cold, warm, clear, grey, still, rainy, bright, frosty",
    "season": "summer, autumn, winter",
    "manner": "slowly, quickly, without hurry, in high spirits, full of joy, without a sound",
    "road": "long, steep, narrow, muddy, full of stones, easy, winding",
    "time": "an hour, two hours, most of the morning, a good while, half a day",
    "grass": "grass, sand, mud, shadows, dry leaves, stones",
}
"""The same of lists that sentences draw from."""
LAST_PLACE = "by the stone fountain"
"""The only place whose translation is not in the English file."""


WITH_THE_LAST = ("owns", "reply_")
"""What is told with the sentence before, without which it means too little."""


class Pair(NamedTuple):
    """A sentence or two of a tale, in both languages."""

    spanish: str
    english: str


class TwiceTold(Sampler):
    """Draws from each pool by a random number generator of its own, and remembers its draws.

    Args:
        key: What all draws depend on.
    """

    def __init__(self, key: str) -> None:
        super().__init__(random.Random(key))
        self._key = key
        self._pools: dict[str, Sampler] = {}
        self.draws: dict[str, list[int]] = {}

    def pick(self, n: int) -> int:
        """Draw one of 0..n-1, which the plot needs."""
        return self._remember("", super().pick(n))

    def pick_from(self, pool: str, n: int) -> int:
        """Draw one of 0..n-1, whatever was drawn from other pools."""
        own = self._pools.setdefault(pool, Sampler(random.Random(f"{self._key}/{pool}")))
        return self._remember(pool, own.pick(n))

    def _remember(self, pool: str, drawn: int) -> int:
        self.draws.setdefault(pool, []).append(drawn)
        return drawn


@cache
def twin_lexicon(language: str) -> Lexicon:
    """The words of one of the languages, so that places in lists have the same meaning in both.

    Args:
        language: "es" or "en".
    """
    spanish, own = lexicon("es"), lexicon(language)
    rules = dict(own.rules)
    if language == "en":
        words = {**own.words, **{pool: tuple(text.split(", ")) for pool, text in POOLS.items()}}
        words["places"] = (*own.words["places"][:-1], LAST_PLACE)
        nouns = {
            kind: tuple(zip(text.split(", "), (g for _, g in getattr(spanish, kind)), strict=True))
            for kind, text in NOUNS.items()
        }
        rules |= compile_rules({name: text.split(", ") for name, text in LISTS.items()})
        own = replace(own, names=spanish.names, words=words, **nouns)
    parts = [part for templates in rules.values() for template in templates for part in template]
    inner = {part[1] for part in parts if part[0] == "rule"}
    for name, templates in rules.items():
        if name not in inner and not name.startswith(WITH_THE_LAST):
            rules[name] = tuple((("text", _MARK), *template) for template in templates)
    return replace(own, rules=rules)


def told(key: str, language: str) -> TwiceTold:
    """A tale in one of the languages.

    Args:
        key: What the tale depends on.
        language: "es" or "en".
    """
    source = TwiceTold(key)
    Plot(source, twin_lexicon(language)).tell()
    return source


def sentences(stream: str) -> Iterator[Pair]:
    """Sentences of one tale after the other, with their translations, without end.

    An opening has the sentence after it, without which nobody could know who "he" or "she" is, and
    a question has its answer.

    Args:
        stream: Name of independent tales.
    """
    for number in count():
        pieces = [told(f"{stream}/{number}", one).text().split(_MARK)[1:] for one in SPOKEN]
        for spanish, english in zip(*pieces, strict=True):
            yield Pair(spanish.strip(), english.strip())


@cache
def content_words() -> frozenset[str]:
    """English names, trades, animals, things and their colors."""
    words = twin_lexicon("en")
    found = [name for names in words.names.values() for name in names]
    found += [noun for noun, _ in (*words.things, *words.animals)]
    return frozenset((*found, *words.words["jobs"], *words.words["colors"]))

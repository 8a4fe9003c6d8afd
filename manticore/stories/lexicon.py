"""The words of a language, read from its file in `languages` (en.toml explains the notation).

A language is one such file: what happens in a story is the same in every language.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from manticore.stories.narrator import Rules, compile_rules

_FOLDER = resources.files("manticore.stories") / "languages"
SPOKEN = tuple(sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir()))
"""Languages that have a file."""
_PEOPLE = ("jobs", "traits", "moods", "homes")
_POOLS = (*_PEOPLE, "colors", "animal_traits", "places", "spots", "foods", "sights")
_FORMS = ("person", "animal", "thing", "place")

Nouns = Sequence[tuple[str, str]]
"""Nouns with their gender: "m", "f", or "" where the language has none."""


@dataclass(frozen=True)
class Lexicon:
    """The words and sentences of one language.

    Attributes:
        language: Name of the language in English.
        names: Names of people and animals, by gender.
        words: Lists of words that people, things and so on are made of, by name.
        things: Nouns of things that people own.
        animals: Nouns of animals.
        forms: Templates of the forms of a "person", "animal", "thing" and "place".
        contractions: Patterns in forms, and what takes the place of what they match.
        rules: Sentences and all other lists of words, as rules of the grammar.
    """

    language: str
    names: Mapping[str, Sequence[str]]
    words: Mapping[str, Sequence[str]]
    things: Nouns
    animals: Nouns
    forms: Mapping[str, Mapping[str, str]]
    contractions: Sequence[tuple[re.Pattern[str], str]]
    rules: Rules

    def forms_of(self, kind: str, gender: str = "", **drawn: str) -> dict[str, str]:
        """All forms of somebody or something.

        Args:
            kind: "person", "animal", "thing" or "place".
            gender: Gender of the noun, "m" or "f"; "" for none.
            drawn: Words that the templates of the forms name.
        """
        agreed = {name: agree(words, gender) for name, words in drawn.items()}
        forms = {}
        for name, template in self.forms[kind].items():
            written = agree(template, gender).format(**agreed)
            for pattern, contraction in self.contractions:
                written = pattern.sub(contraction, written)
            forms[name] = written
        return forms


@cache
def agree(words: str, gender: str) -> str:
    """Choose between the masculine and feminine forms of every "m/f" word."""
    return " ".join(w.split("/")[-1 if gender == "f" else 0] for w in words.split(" "))


@cache
def lexicon(language: str) -> Lexicon:
    """The lexicon of a language in `SPOKEN`."""
    file = _FOLDER / f"{language}.toml"
    return read_lexicon(file.read_text(encoding="utf-8"), f"{language}.toml")


def read_lexicon(text: str, name: str) -> Lexicon:
    """Read the file of a language.

    Args:
        text: Content of the file.
        name: Name of the file, for errors.

    Raises:
        ValueError: The file is not TOML, lacks an entry, or has a malformed sentence.
    """
    try:
        tables = tomllib.loads(text)
        words, forms = tables["words"], {kind: tables["forms"][kind] for kind in _FORMS}
        lists = {key: _listed(words[key]) for key in words if isinstance(words[key], str)}
        sentences = {key: lines.strip().splitlines() for key, lines in tables["sentences"].items()}
        nouns = {key: _nouns(words[key]) for key in ("things", "animals")}
        pools = {pool: lists[pool] for pool in _POOLS}
        for key, pool in (("animal", nouns["animals"]), ("sight", pools["sights"])):
            if len(sentences[key]) > len(pool):  # they share what is fresh (see `Cast`)
                raise ValueError(f"[sentences] {key} has more than the {len(pool)} of [words]")
        slots = {key: lists[key] for key in lists.keys() - pools.keys() - nouns.keys()}
        return Lexicon(
            language=tables["name"],
            names={gender: _listed(words["names"][gender]) for gender in ("f", "m")},
            words=pools,
            things=nouns["things"],
            animals=nouns["animals"],
            forms=forms,
            contractions=[(re.compile(p), c) for p, c in tables.get("contractions", {}).items()],
            rules=compile_rules({**slots, **sentences}),
        )
    except (KeyError, tomllib.TOMLDecodeError, re.error, ValueError) as error:
        cause = f"it has no entry {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{name} is not the file of a language: {cause}. See en.toml.") from error


def _listed(text: str) -> Sequence[str]:
    """The items of a list that is written with commas, over as many lines as it likes."""
    return tuple(" ".join(item.split()) for item in text.split(","))


def _nouns(entry: str | Mapping[str, str]) -> Nouns:
    by_gender = {"": entry} if isinstance(entry, str) else entry
    return tuple((noun, gender) for gender, text in by_gender.items() for noun in _listed(text))

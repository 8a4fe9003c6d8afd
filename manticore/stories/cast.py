"""The words of a language and the people, animals, things and places that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from manticore.stories import english as stories_en
from manticore.stories import spanish as stories_es
from manticore.stories.grammar import Entity, Narrator, Rules, compile_rules

Forms = Mapping[str, str]


@dataclass(frozen=True)
class Lexicon:
    """The words of one language; see `stories_en` for the notation."""

    names: Mapping[str, Sequence[str]]
    jobs: Sequence[str]
    traits: Sequence[str]
    moods: Sequence[str]
    homes: Sequence[str]
    things: Sequence[tuple[str, str]]
    colours: Sequence[str]
    animals: Sequence[tuple[str, str]]
    animal_traits: Sequence[str]
    places: Sequence[Forms]
    spots: Sequence[str]
    foods: Sequence[str]
    sights: Sequence[str]
    thing_forms: Callable[[str, str, str], Forms]
    animal_forms: Callable[[str, str, str], Forms]
    person_forms: Callable[[str], Forms]
    rules: Rules

    @classmethod
    def from_module(cls, module: ModuleType) -> Lexicon:
        """Read the tables of a language module."""
        names = [name for name in cls.__dataclass_fields__ if name != "rules"]
        tables = {n: getattr(module, n if n.endswith("_forms") else n.upper()) for n in names}
        return cls(**tables, rules=compile_rules(module.RULES))


@cache
def lexicon(language: str) -> Lexicon:
    """The lexicon of "en" or "es"."""
    return Lexicon.from_module({"en": stories_en, "es": stories_es}[language])


@cache
def agree(words: str, gender: str) -> str:
    """Choose between the masculine and feminine forms of every "m/f" word."""
    return " ".join(w.split("/")[-1 if gender == "f" else 0] for w in words.split(" "))


class Cast:
    """Makes entities whose forms are drawn from the lexicon when first told (see `Entity`)."""

    def __init__(self, narrator: Narrator, words: Lexicon) -> None:
        self._narrator = narrator
        self._words = words

    def _draw(self, pool: str, options: Sequence) -> object:
        return options[self._narrator.pick_fresh(pool, len(options))]

    def _gender(self, entity: Entity) -> None:
        entity["gender"] = "mf"[self._narrator.source.pick(2)]

    def _name(self, entity: Entity) -> None:
        gender = entity["gender"]
        entity["name"] = self._draw(f"name-{gender}", self._words.names[gender])

    def person(self) -> Entity:
        """Somebody with gender, name, job, trait, home and mood."""
        words = self._words

        def trait(entity: Entity) -> None:
            entity.update(
                words.person_forms(agree(self._draw("trait", words.traits), entity["gender"]))
            )

        def attribute(form: str, options: Sequence[str]) -> Callable[[Entity], None]:
            def draw(entity: Entity) -> None:
                entity[form] = agree(self._draw(form, options), entity["gender"])

            return draw

        return Entity(
            {
                "gender": self._gender,
                "name": self._name,
                "job": attribute("job", words.jobs),
                "home": attribute("home", words.homes),
                "mood": attribute("mood", words.moods),
                "trait": trait,
                "a_trait": trait,
            }
        )

    def animal(self) -> Entity:
        """An animal with a name; its gender is the noun's where the language has one."""
        words = self._words

        def draw(entity: Entity) -> None:
            noun, gender = self._draw("animal", words.animals)
            if gender:
                entity["gender"] = gender
            trait = agree(self._draw("animal-trait", words.animal_traits), gender)
            entity.update(words.animal_forms(noun, gender, trait))

        return Entity({"new": draw, "gender": self._gender, "name": self._name})

    def thing(self) -> Entity:
        """A coloured thing, told first as `new`."""
        words = self._words

        def draw(entity: Entity) -> None:
            noun, entity["gender"] = self._draw("thing", words.things)
            colour = agree(self._draw("colour", words.colours), entity["gender"])
            entity.update(words.thing_forms(noun, entity["gender"], colour))

        return Entity({"new": draw})

    def one_of(self, pool: str, options: Sequence[str], form: str) -> Entity:
        """A spot, meal or sight: one phrase, kept under `form`."""
        return Entity({form: lambda entity: entity.update({form: self._draw(pool, options)})})

    def place(self) -> Entity:
        """A place to go to."""

        def draw(entity: Entity) -> None:
            entity.update(self._draw("place", self._words.places))

        return Entity({"to": draw, "at": draw})

"""The people, animals, things and places of a story, made of the words of a language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from manticore.stories.lexicon import Lexicon, agree
from manticore.stories.narrator import Entity, Narrator

T = TypeVar("T")


class Cast:
    """Makes entities whose forms are drawn from the lexicon when first told (see `Entity`).

    Args:
        narrator: Narrator of the story, which draws.
        lexicon: Words of its language.
    """

    def __init__(self, narrator: Narrator, lexicon: Lexicon) -> None:
        self._narrator = narrator
        self._lexicon = lexicon

    def _draw(self, pool: str, options: Sequence[T]) -> T:
        # A pool may have the name of a rule ("animal", "sight"); then the two share what is fresh.
        # To part them would change the stories that the bundled components were trained on.
        return options[self._narrator.pick_fresh(pool, len(options))]

    def _gender(self, entity: Entity) -> None:
        entity["gender"] = "mf"[self._narrator.source.pick(2)]

    def _name(self, entity: Entity) -> None:
        gender = entity["gender"]
        entity["name"] = self._draw(f"name-{gender}", self._lexicon.names[gender])

    def person(self) -> Entity:
        """Somebody with gender, name, job, trait, home and mood."""
        words = self._lexicon.words

        def trait(entity: Entity) -> None:
            drawn = self._draw("trait", words["traits"])
            entity.update(self._lexicon.forms_of("person", entity["gender"], trait=drawn))

        def attribute(form: str, options: Sequence[str]) -> Callable[[Entity], None]:
            def draw(entity: Entity) -> None:
                entity[form] = agree(self._draw(form, options), entity["gender"])

            return draw

        return Entity(
            {
                "gender": self._gender,
                "name": self._name,
                "job": attribute("job", words["jobs"]),
                "home": attribute("home", words["homes"]),
                "mood": attribute("mood", words["moods"]),
                "trait": trait,
                "a_trait": trait,
            }
        )

    def animal(self) -> Entity:
        """An animal with a name; its gender is the noun's where the language has one."""

        def draw(entity: Entity) -> None:
            noun, gender = self._draw("animal", self._lexicon.animals)
            if gender:
                entity["gender"] = gender
            trait = self._draw("animal-trait", self._lexicon.words["animal_traits"])
            entity.update(self._lexicon.forms_of("animal", gender, noun=noun, trait=trait))

        return Entity({"new": draw, "gender": self._gender, "name": self._name})

    def thing(self) -> Entity:
        """A colored thing, told first as `new`."""

        def draw(entity: Entity) -> None:
            noun, gender = self._draw("thing", self._lexicon.things)
            if gender:
                entity["gender"] = gender
            color = self._draw("color", self._lexicon.words["colors"])
            entity.update(self._lexicon.forms_of("thing", gender, noun=noun, color=color))

        return Entity({"new": draw})

    def place(self) -> Entity:
        """A place to go to and be at."""

        def draw(entity: Entity) -> None:
            preposition, where = self._draw("place", self._lexicon.words["places"]).split(" ", 1)
            entity.update(self._lexicon.forms_of("place", preposition=preposition, where=where))

        return Entity({"to": draw, "at": draw})

    def one_of(self, pool: str, form: str) -> Entity:
        """A "spot", "food" or "sight": one phrase, kept under `form`."""
        options = self._lexicon.words[f"{pool}s"]
        return Entity({form: lambda entity: entity.update({form: self._draw(pool, options)})})

"""What happens in a generated story: people, things that change hands, and questions about them.

The plot is the same in every language; a `Lexicon` holds the words. It keeps track of who has what,
so that the answers at the end are always those that follow from the story.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from manticore.stories.cast import Cast
from manticore.stories.grammar import Source
from manticore.stories.lexicon import Lexicon, lexicon
from manticore.stories.narrator import Entity, Narrator

MAX_EVENTS = 5
MAX_QUESTIONS = 4
T = TypeVar("T")


@dataclass
class Thing:
    """A thing and what has become of it.

    Attributes:
        entity: Its forms.
        at: Who has it, or the spot where it is hidden.
        hidden: Whether `at` is a spot.
        was_hidden: Whether it was at a spot at any time.
        moves: Number of times it changed hands.
        finders: Who found it.
    """

    entity: Entity
    at: Entity
    hidden: bool = False
    was_hidden: bool = False
    moves: int = 0
    finders: list[Entity] = field(default_factory=list)


class Fact(NamedTuple):
    """Something that a question can be about.

    Attributes:
        topic: The sentences of the question and its answer are `ask_<topic>` and `reply_<topic>`.
        who: Participants of these sentences by name.
    """

    topic: str
    who: dict[str, Entity]


class Plot:
    """One story, from its opening to its answers.

    Args:
        source: Source of the draws, which the story is written to.
        lexicon: Words of the story's language.
    """

    def __init__(self, source: Source, lexicon: Lexicon) -> None:
        self._source = source
        self._narrator = Narrator(source, lexicon.rules)
        self._say = self._narrator.say
        self._cast = Cast(self._narrator, lexicon)
        self._hero = self._cast.person()
        self._friend = self._cast.person()
        self._place = self._cast.place()
        self._company = [self._hero, self._friend]
        self._things = [Thing(self._cast.thing(), owner) for owner in self._company]
        self._facts: list[Fact] = []

    def tell(self) -> None:
        """Write the whole story to the source."""
        who = {"x": self._hero, "y": self._friend}
        self._say("opening", **who)
        self._say("owns", **who, o=self._things[0].entity)
        self._narrator.new_line()
        self._say("weather", **who)
        self._say("meets", **who, p=self._things[1].entity)
        self._say("invites", **who, l=self._place)
        self._say("walks", **who)
        self._narrator.new_line()
        self._tell_events()
        self._narrator.new_line()
        self._say("return", **who)
        self._say("feels", x=self._hero)
        self._ask_questions()

    def _draw(self, options: Sequence[T]) -> T:
        return options[self._source.pick(len(options))]

    def _anyone(self, *, but: Sequence[Entity] = ()) -> Callable[[], Entity]:
        """A function that draws somebody of the company: nobody twice, and nobody in `but`."""
        absent = list(but)

        def draw() -> Entity:
            absent.append(self._draw([c for c in self._company if all(c is not a for a in absent)]))
            return absent[-1]

        return draw

    def _held(self) -> list[Thing]:
        return [thing for thing in self._things if not thing.hidden]

    def _hidden(self) -> list[Thing]:
        return [thing for thing in self._things if thing.hidden]

    def _tell_events(self) -> None:
        """Two to `MAX_EVENTS` different events, with an idle sentence here and there."""
        events = {
            "give": (self._give, self._held),
            "swap": (self._swap, self._swappable),
            "hide": (self._hide, self._held),
            "uncover": (self._uncover, self._hidden),
            "find": (self._find, None),
            "animal": (self._meet_animal, None),
            "meal": (self._eat, None),
            "sight": (self._see, None),
        }
        for told in range(MAX_EVENTS):
            if told >= 2 and self._source.flip(1 / 3):
                return
            possible = [name for name, (_, needs) in events.items() if needs is None or needs()]
            happen, _ = events.pop(self._draw(possible))
            happen()
            if self._source.flip(1 / 3):
                self._say("then", x=self._hero, y=self._friend)

    def _give(self) -> None:
        thing = self._draw(self._held())
        giver = thing.at
        taker = self._draw([other for other in self._company if other is not giver])
        self._say("give", x=giver, y=taker, o=thing.entity)
        thing.at = taker
        thing.moves += 1
        self._facts.append(Fact("giver", {"x": giver, "y": taker, "o": thing.entity}))

    def _swappable(self) -> list[tuple[Thing, Thing]]:
        held = self._held()
        return [(a, b) for a in held for b in held if a.at is not b.at]

    def _swap(self) -> None:
        mine, other = self._draw(self._swappable())
        self._say("swap", x=mine.at, y=other.at, o=mine.entity, p=other.entity)
        mine.at, other.at = other.at, mine.at
        mine.moves += 1
        other.moves += 1

    def _hide(self) -> None:
        thing = self._draw(self._held())
        spot = self._cast.one_of("spot", "at")
        self._say("hide", x=thing.at, o=thing.entity, s=spot)
        thing.at, thing.hidden, thing.was_hidden = spot, True, True

    def _uncover(self) -> None:
        thing = self._draw(self._hidden())
        finder = self._draw(self._company)
        self._say("uncover", x=finder, o=thing.entity)
        thing.at, thing.hidden = finder, False
        thing.moves += 1
        thing.finders.append(finder)

    def _find(self) -> None:
        finder = self._draw(self._company)
        thing = Thing(self._cast.thing(), finder, finders=[finder])
        self._say("find", x=finder, o=thing.entity)
        self._things.append(thing)

    def _meet_animal(self) -> None:
        animal = self._cast.animal()
        self._say("animal", z=animal, l=self._place)
        self._say("chat", z=animal, x=self._anyone())
        self._company.append(animal)
        self._facts.append(Fact("animal", {"z": animal}))

    def _eat(self) -> None:
        food = self._cast.one_of("food", "name")
        anyone = self._anyone()
        self._say("meal", x=anyone, y=anyone, f=food)
        self._facts.append(Fact("meal", {"x": self._hero, "y": self._friend, "f": food}))

    def _see(self) -> None:
        seer = self._draw(self._company)
        sight = self._cast.one_of("sight", "a")
        self._say("sight", x=seer, y=self._anyone(but=[seer]), v=sight)
        self._facts.append(Fact("sight", {"x": seer, "v": sight}))

    def _ask_questions(self) -> None:
        """Ask and answer where a thing ended up, then one to three of all other questions."""
        where = [self._whereabouts(thing) for thing in self._things]
        first = self._draw(where)
        others = [fact for fact in where + self._askable() if fact is not first]
        separator = "\n\n"
        for asked in range(MAX_QUESTIONS):
            if asked >= 2 and self._source.flip(1 / 2):
                return
            fact = first if asked == 0 else others.pop(self._source.pick(len(others)))
            self._narrator.new_line(separator)
            separator = "\n"
            self._say(f"ask_{fact.topic}", **fact.who)
            self._say(f"reply_{fact.topic}", **fact.who)

    def _whereabouts(self, thing: Thing) -> Fact:
        if thing.hidden:
            return Fact("hidden", {"o": thing.entity, "s": thing.at})
        return Fact("holder", {"o": thing.entity, "x": thing.at})

    def _askable(self) -> list[Fact]:
        """Facts with one right answer: known attributes, and events that no later one obscures."""
        hero, friend = self._hero, self._friend
        facts = [
            Fact("place", {"x": hero, "y": friend, "l": self._place}),
            Fact("mood", {"x": hero}),
            Fact("home", {"x": hero}),
        ]
        facts += [Fact("job", {"x": who}) for who in (hero, friend) if who.known("job")]
        facts += [Fact("color", {"o": thing.entity}) for thing in self._things]
        moves = {id(thing.entity): thing.moves for thing in self._things}
        facts += [f for f in self._facts if f.topic != "giver" or moves[id(f.who["o"])] == 1]
        for thing in self._things:
            if len(thing.finders) == 1 and not thing.was_hidden:
                facts.append(Fact("finder", {"x": thing.finders[0], "o": thing.entity}))
        return facts


def tell(source: Source, language: str) -> None:
    """Write one story in a language of `lexicon.SPOKEN` to `source`."""
    Plot(source, lexicon(language)).tell()

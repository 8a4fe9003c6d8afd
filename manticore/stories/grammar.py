"""A small engine for probabilistic grammars whose every choice is counted.

A story is told by ordinary Python code that draws from a `Source` and writes to it. Two sources
exist: `Sampler` draws at random and keeps the surprisal of what it drew; `Follower` is handed a
finished text and a list of draws and checks, piece by piece, that these draws write that text. With
the second, `derivations` finds *every* way in which the grammar can produce a text, so its exact
probability is known and unambiguity can be tested instead of believed.

For that search to be quick, draws are lazy: an attribute of an `Entity` is drawn when it is first
written down, never earlier. This also means that whatever was drawn is visible in the text.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple


class MismatchError(Exception):
    """The draws being followed do not write the text being followed."""


class Source:
    """What a story draws its choices from and writes its text to."""

    def pick(self, n: int) -> int:
        """Return one of 0..n-1, each with probability 1/n."""
        raise NotImplementedError

    def flip(self, probability: float) -> bool:
        """Return True with `probability` (strictly between 0 and 1)."""
        raise NotImplementedError

    def write(self, piece: str) -> None:
        """Append `piece` to the text."""
        raise NotImplementedError


class Sampler(Source):
    """Draws at random.

    Args:
        rng: Generator of the draws.

    Attributes:
        nats: -log p of everything drawn so far.
    """

    def __init__(self, rng: random.Random) -> None:
        self._random = rng.random
        self._pieces: list[str] = []
        self.nats = 0.0

    def pick(self, n: int) -> int:
        """Draw one of 0..n-1."""
        self.nats += math.log(n)
        return int(self._random() * n)

    def flip(self, probability: float) -> bool:
        """Draw True with `probability`."""
        outcome = self._random() < probability
        self.nats -= math.log(probability if outcome else 1 - probability)
        return outcome

    def write(self, piece: str) -> None:
        """Append `piece` to the text."""
        self._pieces.append(piece)

    def text(self) -> str:
        """What was written so far."""
        return "".join(self._pieces)


class Follower(Source):
    """Replays `path` (then always option 0) and raises `MismatchError` where it leaves `text`.

    Args:
        text: Text to follow.
        path: Index of each of the first draws.

    Attributes:
        draws: Index and number of options of each draw so far.
        nats: -log p of everything drawn so far.
    """

    def __init__(self, text: str, path: Sequence[int]) -> None:
        self._text = text
        self._path = path
        self._position = 0
        self.draws: list[tuple[int, int]] = []
        self.nats = 0.0

    def pick(self, n: int) -> int:
        """Take the next draw of the path."""
        self.nats += math.log(n)
        return self._next(n)

    def flip(self, probability: float) -> bool:
        """Take the next draw of the path: option 0 is True."""
        outcome = self._next(2) == 0
        self.nats -= math.log(probability if outcome else 1 - probability)
        return outcome

    def _next(self, n: int) -> int:
        step = len(self.draws)
        index = self._path[step] if step < len(self._path) else 0
        self.draws.append((index, n))
        return index

    def write(self, piece: str) -> None:
        """Check that the text continues with `piece`.

        Raises:
            MismatchError: It does not.
        """
        if not self._text.startswith(piece, self._position):
            raise MismatchError
        self._position += len(piece)

    @property
    def finished(self) -> bool:
        """Whether the whole text has been written."""
        return self._position == len(self._text)


class Derivation(NamedTuple):
    """One way to write a text.

    Attributes:
        path: Index of every draw.
        nats: -log of their probability.
    """

    path: tuple[int, ...]
    nats: float


def derivations(tell: Callable[[Source], None], text: str) -> Iterator[Derivation]:
    """Yield every sequence of draws with which `tell` writes exactly `text`.

    Depth-first over the tree of draws; a branch is cut at the first written piece that differs.

    Args:
        tell: Function that draws from a source and writes to it.
        text: Text to derive.
    """
    path: list[int] = []
    while True:
        follower = Follower(text, path)
        try:
            tell(follower)
            complete = follower.finished
        except MismatchError:
            complete = False
        draws = follower.draws
        if complete:
            yield Derivation(tuple(index for index, _ in draws), follower.nats)
        while draws and draws[-1][0] + 1 == draws[-1][1]:
            draws.pop()
        if not draws:
            return
        path = [index for index, _ in draws]
        path[-1] += 1


class Entity(dict[str, str]):
    """Somebody or something in a story: named forms of it, drawn when first asked for.

    The form "gender" is "m" or "f".

    Args:
        drawers: For each form, a function that draws it and stores it in the entity; it may store
            others, too.
    """

    def __init__(self, drawers: Mapping[str, Callable[[Entity], None]] | None = None) -> None:
        super().__init__()
        self._drawers = drawers or {}

    def __missing__(self, form: str) -> str:
        self._drawers[form](self)
        return self[form]

    def known(self, form: str) -> bool:
        """Whether this form has been drawn, and so written, already."""
        return form in self


Participant = Entity | Callable[[], Entity]


def _mentioned(who: dict[str, Participant], name: str) -> Entity:
    """The participant called `name`, which is drawn now if it was not mentioned before."""
    participant = who[name]
    if not isinstance(participant, Entity):
        participant = who[name] = participant()
    return participant


# "[symbol]" expands a rule; "{who.form}" writes a form; "{who?m/f}" chooses by grammatical gender.
_SLOT = re.compile(r"\[(\w+)\]|\{(\w+)\.(\w+)\}|\{(\w+)\?([^{}/]*)/([^{}/]*)\}")
Part = tuple[str, ...]


def compile_template(template: str) -> tuple[Part, ...]:
    """Split a template into its literal and slot parts.

    Raises:
        ValueError: A bracket or brace is not part of a slot.
    """
    parts: list[Part] = []
    end = 0
    for match in _SLOT.finditer(template):
        parts.append(("text", template[end : match.start()]))
        symbol, owner, form, chooser, masculine, feminine = match.groups()
        if symbol is not None:
            parts.append(("rule", symbol))
        elif owner is not None:
            parts.append(("form", owner, form))
        else:
            parts.append(("gender", chooser, masculine, feminine))
        end = match.end()
    parts.append(("text", template[end:]))
    for part in parts:
        if part[0] == "text" and re.search(r"[\[\]{}]", part[1]):
            raise ValueError(
                f"The template {template!r} has a stray bracket. Slots are [rule], {{who.form}} "
                "and {who?m/f}."
            )
    return tuple(part for part in parts if part != ("text", ""))


Rules = Mapping[str, Sequence[tuple[Part, ...]]]


def compile_rules(rules: Mapping[str, Sequence[str]]) -> dict[str, tuple[tuple[Part, ...], ...]]:
    """Compile every template of every rule.

    Raises:
        ValueError: A template is malformed.
    """
    return {
        name: tuple(compile_template(t) for t in templates) for name, templates in rules.items()
    }


class Narrator:
    """Writes sentences from rules, using no template twice while fresh ones are left.

    Args:
        source: Source of the draws, which is written to.
        rules: Compiled rules by name.
    """

    def __init__(self, source: Source, rules: Rules) -> None:
        self.source = source
        self._rules = rules
        self._fresh: dict[str, list[int]] = {}
        self._separator = ""
        self._capital = True

    def pick_fresh(self, pool: str, n: int) -> int:
        """Pick one of 0..n-1 that was not yet picked from `pool` (all again once none is left)."""
        fresh = self._fresh.get(pool)
        if not fresh:
            fresh = self._fresh[pool] = list(range(n))
        return fresh.pop(self.source.pick(len(fresh)))

    def say(self, rule: str, **who: Participant) -> None:
        """Write one expansion of `rule`, a sentence or several.

        Args:
            rule: Name of the rule.
            who: Participants by name. A function is called for its participant when that is first
                mentioned.
        """
        self._write(self._separator)
        self._separator = " "
        self._capital = True
        self._expand(rule, who)

    def new_line(self, separator: str = "\n\n") -> None:
        """Put `separator` instead of a space before the next sentence."""
        self._separator = separator

    def _expand(self, rule: str, who: dict[str, Participant]) -> None:
        templates = self._rules[rule]
        for part in templates[self.pick_fresh(rule, len(templates))]:
            kind = part[0]
            if kind == "text":
                self._write(part[1])
            elif kind == "form":
                self._write(_mentioned(who, part[1])[part[2]])
            elif kind == "gender":
                self._write(part[2 if _mentioned(who, part[1])["gender"] == "m" else 3])
            else:
                self._expand(part[1], who)

    def _write(self, piece: str) -> None:
        if self._capital:
            for i, letter in enumerate(piece):
                if letter.isalpha():
                    piece = piece[:i] + letter.upper() + piece[i + 1 :]
                    self._capital = False
                    break
        self.source.write(piece)

"""Sentences from templates: whoever takes part is drawn when first mentioned.

Draws are lazy, so that the search for derivations (see `grammar`) is quick: an attribute of an
`Entity` is drawn when it is first written down, never earlier. This also means that whatever was
drawn is visible in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from manticore.stories.grammar import Source


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
        return fresh.pop(self.source.pick_from(pool, len(fresh)))

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

"""Cards of components to choose from: the bundled ones, and whatever else is chosen."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manticore.components.damage import Damage
from manticore.views.catalogue import card_of, component_choices, facts_words, knowledge
from manticore.views.plots import component_colour, short_names

from .known import Known

CHOOSE = """
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-component]");
  if (card) trigger("click", { component: card.dataset.component });
});
"""
BUNDLED = Known()
"""Knows bundled components only."""


def cards_html(chosen: Sequence[str], known: Known = BUNDLED, *, wait: bool = True) -> str:
    """A card for each chosen component, and for each bundled one that is not chosen, in brief.

    Args:
        chosen: The chosen components, in the order that gives them their colors.
        known: What is known of components.
        wait: Whether to look at folders and hub ids that were not looked at before.
    """
    bundled = [value for _, value in component_choices()]
    cards = "".join(
        _card(name, title, _told(name, known, wait), component_colour(k))
        for k, (name, title) in enumerate(zip(chosen, short_names(chosen), strict=True))
    )
    cards += "".join(
        _card(name, short_names([name])[0], _told(name, known, wait))
        for name in bundled
        if name not in chosen
    )
    told = "" if chosen else '<p class="faint">Choose one to four components to mix.</p>'
    return f'{told}<div class="cards" role="group" aria-label="Components">{cards}</div>'


@dataclass(frozen=True)
class _Words:
    """What a card says: facts, what the component knows, the numbers behind, and what is wrong."""

    facts: str
    knows: str = ""
    numbers: str = ""
    problem: str = ""


def _card(name: str, title: str, words: _Words, color: str | None = None) -> str:
    """The card of a component; one without a color is not chosen, and says less."""
    facts = words.facts if color else " · ".join(words.facts.split(" · ")[:2])
    detail = f"<span>{html.escape(facts)}</span>" if facts else ""
    problem = f'<span class="problem">{html.escape(words.problem)}</span>' if words.problem else ""
    return (
        f'<button type="button" class="card{"" if color is None else " chosen"}" '
        f'aria-pressed="{"false" if color is None else "true"}" '
        f'style="--own:{color or "transparent"}" data-component="{html.escape(name)}" '
        f'title="{html.escape(words.numbers if color else words.facts)}">'
        f'<b><span class="dot"></span>{html.escape(title)}</b>{detail}'
        f'<span class="knows">{html.escape(words.knows)}</span>{problem}</button>'
    )


def _told(name: str, known: Known, wait: bool) -> _Words:
    """The facts of a component, and what it knows."""
    told = known.of(name, wait=wait)
    if told.problem:
        return _Words("", problem=told.problem)
    if told.facts is None:
        if name.startswith("zoo:"):
            return _Words("There is no bundled component of this name.")
        when = "It is loaded when the run starts." if wait else "It is being looked up."
        return _Words("A hub id or a folder", when)
    card: dict[str, Any] | None = card_of(name)
    if card is None:
        measured = "What it knows is measured when the run starts."
        return _Words(facts_words(told.facts, spoken=True), measured)
    return _Words(facts_words(told.facts, spoken=False), *(_harm(name) or knowledge(card)))


def _harm(name: str) -> tuple[str, str] | None:
    """What is damaged in a copy, in words; None if nothing is, or if its name is not understood."""
    try:
        damage = Damage.of(name)
    except ValueError as error:
        return str(error), ""
    if damage is None:
        return None
    layers = ", ".join(str(layer + 1) for layer in damage.damaged)
    return f"A copy that is damaged on purpose, in layers {layers}.", ""

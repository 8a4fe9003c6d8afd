"""Cards of components to choose from: the bundled ones, and whatever else is chosen."""

import html
from collections.abc import Sequence
from typing import Any

from manticore.components.damage import Damage
from manticore.config.run import MAX_COMPONENTS
from manticore.views.plots import component_colour, short_names

from .catalogue import card_of, component_choices, context_of, knowledge

CHOOSE = """
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-component]");
  if (card) trigger("click", { component: card.dataset.component });
});
"""
FAMILIES = {
    "gpt_neox": "GPT-NeoX",
    "gpt_neo": "GPT-Neo",
    "mamba": "Mamba",
    "mamba2": "Mamba-2",
    "llama": "Llama",
}
"""Families as people write them; others as Transformers does."""


def cards_html(chosen: Sequence[str]) -> str:
    """A card for each chosen component, and for each bundled one that is not chosen, in brief.

    Args:
        chosen: The chosen components, in the order that gives them their colors.
    """
    bundled = [value for _, value in component_choices()]
    cards = "".join(
        _card(name, title, component_colour(k))
        for k, (name, title) in enumerate(zip(chosen, short_names(chosen), strict=True))
    )
    cards += "".join(_card(name, *short_names([name])) for name in bundled if name not in chosen)
    told = "" if chosen else '<p class="faint">Choose two to four components to mix.</p>'
    return f'{told}<div class="cards" role="group" aria-label="Components">{cards}</div>'


def toggled(chosen: Sequence[str], component: str) -> list[str]:
    """The chosen components after a click on a card.

    Args:
        chosen: The chosen components.
        component: That of the card.

    Raises:
        ValueError: There are as many as a hybrid can have.
    """
    if component in chosen:
        return [name for name in chosen if name != component]
    if len(chosen) >= MAX_COMPONENTS:
        raise ValueError(
            f"A hybrid has at most {MAX_COMPONENTS} components: leave out one of them first."
        )
    return [*chosen, component]


def _card(name: str, title: str, color: str | None = None) -> str:
    """The card of a component; one without a color is not chosen, and says less."""
    facts, knows, numbers = _told(name)
    detail = "" if color is None else f"<span>{html.escape(facts)}</span>"
    return (
        f'<button type="button" class="card{"" if color is None else " chosen"}" '
        f'aria-pressed="{"false" if color is None else "true"}" '
        f'style="--own:{color or "transparent"}" data-component="{html.escape(name)}" '
        f'title="{html.escape(numbers if color else facts)}">'
        f'<b><span class="dot"></span>{html.escape(title)}</b>{detail}'
        f'<span class="knows">{html.escape(knows)}</span></button>'
    )


def _told(name: str) -> tuple[str, str, str]:
    """The facts of a component, what it knows, and the numbers behind that."""
    card: dict[str, Any] | None = card_of(name)
    if card is None:
        if name.startswith("zoo:"):
            return "There is no bundled component of this name.", "", ""
        return "A hub id or a folder", "It is loaded when the run starts.", ""
    facts = [
        FAMILIES.get(card["model_type"], card["model_type"]),
        f"{card['parameters'] / 1e6:.1f} M parameters",
        f"{card['depth']} layers of width {card['width']}",
        context_of(card),
    ]
    told = " · ".join(filter(None, facts))
    return (told, *(_harm(name) or knowledge(card)))


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

"""What the page offers to choose from: bundled components with their cards, and bundled texts."""

import html
import logging
from collections.abc import Sequence
from typing import Any

from manticore.components.zoo import zoo_card, zoo_names
from manticore.names import UnknownNameError
from manticore.stories import LANGUAGES
from manticore.views.plots import component_colour

log = logging.getLogger(__name__)

MAX_BLOCKS = 48
TEXTS = [
    *((f"Stories in {name}", f"bundled:stories-{code}") for code, name in LANGUAGES.items()),
    ("Code of Python's standard library", "bundled:python"),
]
DOMAINS = {**LANGUAGES, "python": "Python code"}
"""What components were trained on, as cards name it and as people do."""


def component_choices() -> list[tuple[str, str]]:
    """(label, `zoo:NAME`) of every bundled component."""
    try:
        return [(name, f"zoo:{name}") for name in zoo_names()]
    except FileNotFoundError as error:
        log.warning("No bundled components: %s", error)
        return []


def default_components() -> list[str]:
    """Two components for a telling first hybrid: an English and a Spanish one if available."""
    values = [value for _, value in component_choices()]
    preferred = [value for value in ("zoo:tales-neox", "zoo:novelas-mamba") if value in values]
    return preferred if len(preferred) == 2 else values[:2]


def card_of(component: str) -> dict[str, Any] | None:
    """The card of a bundled component; None for a hub id, a folder, or a name that is unknown."""
    if not component.startswith("zoo:"):
        return None
    try:
        return zoo_card(component)
    except (UnknownNameError, OSError):
        return None


def max_blocks(components: Sequence[str]) -> int:
    """The depth of the shallowest component whose depth is known."""
    cards = [card_of(component) for component in components]
    return min((card["depth"] for card in cards if card), default=MAX_BLOCKS)


def cards_html(components: Sequence[str]) -> str:
    """Small cards for the chosen components, in the colours that the figures give them."""
    if not components:
        return '<div class="cards-empty">Choose two to four components to mix.</div>'
    cards = "".join(_card_html(k, component) for k, component in enumerate(components))
    return f'<div class="cards">{cards}</div>'


def _card_html(k: int, component: str) -> str:
    card = card_of(component)
    name = html.escape(component.removeprefix("zoo:"))
    dot = f'<span class="dot" style="background:{component_colour(k)}"></span>'
    if card is None:
        detail = "Loaded by the worker when the run starts: a hub id or a folder."
        if component.startswith("zoo:"):
            detail = "There is no bundled component of this name."
        return f'<div class="card"><h4>{dot}{name}</h4><p>{detail}</p></div>'
    facts = [
        card["model_type"],
        f"{card['parameters'] / 1e6:.1f} M parameters",
        f"{card['depth']} layers of width {card['width']}",
        DOMAINS.get(card["language"], card["language"]),
    ]
    perplexities = " · ".join(
        f"{_short_text(text)} {_perplexity(measured['perplexity'])}"
        for text, measured in card.get("perplexity", {}).items()
        if text.startswith("bundled:")
    )
    return (
        f'<div class="card"><h4>{dot}{name}</h4><p>{html.escape(" · ".join(facts))}</p>'
        f'<p class="faint">perplexity: {html.escape(perplexities)}</p></div>'
    )


def _short_text(name: str) -> str:
    return name.removeprefix("bundled:").split(",")[0]


def _perplexity(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"

"""What there is to choose from, in words: bundled components and texts."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from manticore.components.facts import Facts, zoo_facts
from manticore.components.zoo import zoo_card, zoo_names
from manticore.config.run import MAX_COMPONENTS
from manticore.names import UnknownNameError
from manticore.stories import LANGUAGES
from manticore.views.wording import count_label, family_label

log = logging.getLogger(__name__)

MAX_BLOCKS = 48
TEXTS = [
    *((f"Stories in {name}", f"bundled:stories-{code}") for code, name in LANGUAGES.items()),
    ("Code of Python's standard library", "bundled:python"),
]
SPOKEN = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "tr": "Turkish",
    "zh": "Chinese",
}
"""Languages of model cards; others by their codes."""
MOST_SPOKEN = 6
KNOWN, UNKNOWN = 20.0, 200.0
"""Perplexities up to which a component knows a text, and from which it does not."""


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


def text_for(components: Sequence[str]) -> str:
    """The bundled stories in the languages that components were trained on."""
    known = {card["language"] for card in map(card_of, components) if card}
    return (
        f"bundled:stories-{known.pop()}" if known in ({"en"}, {"es"}) else "bundled:stories-mixed"
    )


def bundled_facts(component: str) -> Facts | None:
    """The facts of a bundled component; None for another one, or a name that is unknown."""
    if not component.startswith("zoo:"):
        return None
    try:
        return zoo_facts(component)
    except (UnknownNameError, OSError):
        return None


def max_blocks(
    components: Sequence[str], facts_of: Callable[[str], Facts | None] = bundled_facts
) -> int:
    """The depth of the shallowest component whose depth is known.

    Args:
        components: The components.
        facts_of: What is known of each.
    """
    known = [facts_of(component) for component in components]
    return min((facts.depth for facts in known if facts), default=MAX_BLOCKS)


def knowledge(card: dict[str, Any]) -> tuple[str, str]:
    """What a component knows in words, and the perplexities behind them.

    Args:
        card: Its card.
    """
    subjects: dict[str, str] = {
        f"stories-{code}": f"{name} stories" for code, name in LANGUAGES.items()
    }
    subjects["python"] = "Python code"
    measured: dict[str, float] = {}
    for text, found in card.get("perplexity", {}).items():
        if text.startswith("bundled:"):
            name = str(text).removeprefix("bundled:").split(",")[0]
            measured[str(subjects.get(name, name))] = found["perplexity"]
    known = [subject for subject, value in measured.items() if value < KNOWN]
    unknown = [subject for subject, value in measured.items() if value > UNKNOWN]
    sentences = []
    if known:
        sentences.append(f"Knows {' and '.join(known)}.")
    if unknown:
        sentences.append(f"Does not know {' or '.join(unknown)}.")
    numbers = ", ".join(f"{name} {_perplexity(value)}" for name, value in measured.items())
    return " ".join(sentences), f"Held-out perplexity: {numbers}" if numbers else ""


def facts_words(facts: Facts, *, spoken: bool) -> str:
    """Facts of a component in words.

    Args:
        facts: The facts.
        spoken: Whether to name its languages, where nothing else tells what it knows.
    """
    context = f"context of {facts.context:,} tokens" if facts.context else "context of any length"
    said = [
        family_label(facts.family),
        f"{count_label(facts.parameters)} parameters",
        f"{facts.depth} layers of width {facts.width:,}",
        context,
        f"vocabulary of {facts.vocabulary:,}",
    ]
    if spoken and facts.languages:
        said.append(", ".join(SPOKEN.get(code, code) for code in facts.languages[:MOST_SPOKEN]))
    return " · ".join(said)


def _perplexity(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"

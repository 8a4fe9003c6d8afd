"""What the chat tab says of a run before its hybrid is loaded: how it reads, and where to begin."""

import json
import re
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from manticore.runs import Run
from manticore.store.layout import HYBRID_FOLDER, RESULT_FOLDER, START_FOLDER
from manticore.views.catalogue import card_of

BEGINNINGS = {
    "en": [
        "Once upon a time there was a king who had three daughters,",
        "The fox looked at the lantern and said,",
        "Deep in the forest, an old woman",
    ],
    "es": [
        "Había una vez un zorro que",
        "En un lugar de la Mancha vivía un caballero que",
        "La niña abrió la puerta y",
    ],
    "python": ["def read(path", "import os\n\n\nclass Reader:", "for name in sorted("],
}
"""Beginnings that components continue well, by the language of their cards."""
MOST = 6
TEMPLATE = (
    "The tokenizer of this hybrid has a **chat template**: each message is put to the hybrid as a "
    "user's turn, and it answers."
)
PLAIN = (
    "The tokenizer of this hybrid has no chat template, so the hybrid **continues the text**: "
    "write a beginning, not a question. Everything in the chat is part of the text."
)
NOTHING = "Choose a run above to chat with its hybrid."


def how_it_reads(run: Run | None) -> str:
    """One line on what becomes of a message.

    Args:
        run: The run, if one is chosen.
    """
    if run is None:
        return NOTHING
    return TEMPLATE if _has_chat_template(run.folder) else PLAIN


def beginnings_for(run: Run | None) -> list[str]:
    """Beginnings that fit the languages of a run's components, each language in turn.

    Args:
        run: The run, if one is chosen.
    """
    cards = [card_of(component) for component in run.config.components] if run else []
    languages = dict.fromkeys(card["language"] for card in cards if card)
    known = [BEGINNINGS[language] for language in languages if language in BEGINNINGS]
    turns = chain.from_iterable(zip_longest(*(known or [BEGINNINGS["en"]])))
    return [text for text in turns if text][:MOST]


def _has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer of a run has a chat template, read from its files, without torch."""
    places = [folder / RESULT_FOLDER / HYBRID_FOLDER, folder / START_FOLDER]
    return any(_names_template(place) for place in places)


def _names_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    try:
        settings: Any = json.loads((folder / "tokenizer_config.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and bool(settings.get("chat_template"))


def label_of(beginning: str) -> str:
    """A beginning as the label of a button: in one line.

    Args:
        beginning: The beginning.
    """
    return re.sub(r"\s+", " ", beginning).strip()

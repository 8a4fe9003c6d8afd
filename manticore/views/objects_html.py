"""Components, texts, runs and recipes as a notebook shows them: small tables."""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from manticore.views.catalogue import card_of, facts_words, knowledge
from manticore.views.plots.theme import MUTED, short_names
from manticore.views.still import mixture_svg, of_last_task
from manticore.views.wording import phrases, state_words

if TYPE_CHECKING:
    from manticore.components.loading import Component
    from manticore.data import TextData
    from manticore.recipes.recipe import Recipe

_CELL = "text-align:left;padding:3px 12px 3px 0;vertical-align:top"


def component_html(component: "Component") -> str:
    """What a component is, and what it knows where that was measured.

    Args:
        component: Any component.
    """
    card = card_of(component.source)
    knows, numbers = knowledge(card) if card else ("", "")
    rows = {
        "component": facts_words(component.facts, spoken=False),
        "knows": knows,
        "measured": numbers,
        "source": component.source,
    }
    return _table(component.name, rows)


def text_html(data: "TextData") -> str:
    """How much text there is, and how its held-out part begins.

    Args:
        data: A text.
    """
    if data.n_tokens is None:
        rows = {"to train on": f"sequences of {data.seq_len} tokens, read as they are needed"}
    else:
        train = f"{data.n_tokens:,} tokens, {_sequences(data.train, data.seq_len)}"
        rows = {"to train on": train, "held out": _sequences(data.valid, data.seq_len)}
    rows["it begins"] = f"{data.beginning()} …"
    return _table(data.name, rows)


def _sequences(part: Any, seq_len: int) -> str:
    n = len(part)
    return f"{n:,} sequence{'' if n == 1 else 's'} of {seq_len} tokens"


def run_html(row: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> str:
    """How far a run is, what it mixes, and the way of its mixture weights.

    Args:
        row: `Run.summary()`.
        events: Its events.
    """
    names = " + ".join(short_names(row["components"]))
    about = f"{names}, {row['n_blocks']} blocks"
    rows = {
        row["stage"]: about,
        "state": ", ".join([state_words(row), *phrases(row)]),
        "next": "run.watch() shows it live; run.hybrid() is what it has made",
    }
    return _table(row["id"], rows) + mixture_svg(of_last_task(events))


def recipe_html(recipe: "Recipe") -> str:
    """What a recipe builds, its text, and its stages with the options that are given.

    Args:
        recipe: Any recipe.
    """
    names = " + ".join(name.removeprefix("zoo:") for name in recipe.components)
    stages = {
        name: ", ".join(f"{option} = {value}" for option, value in stage.given("json").items())
        or "with its defaults"
        for name, stage in recipe.stages.items()
    }
    rows = {
        "hybrid": f"{names}, {recipe.n_blocks} blocks, {recipe.projector} projectors",
        "text": str(recipe.data.source),
        **stages,
        "run it": "mc.run_recipe(recipe)",
    }
    return _table(recipe.name or "A recipe", rows)


def _table(title: str, rows: Mapping[str, str]) -> str:
    """A table of named facts; those that are empty are left out."""
    shown = "".join(
        f'<tr><th style="{_CELL};font-weight:400;white-space:nowrap;{MUTED}">'
        f"{html.escape(name)}</th>"
        f'<td style="{_CELL}">{html.escape(value)}</td></tr>'
        for name, value in rows.items()
        if value
    )
    return (
        f'<table style="border-collapse:collapse"><caption style="text-align:left;'
        f'font-weight:600;padding-bottom:2px">{html.escape(title)}</caption>'
        f"<tbody>{shown}</tbody></table>"
    )

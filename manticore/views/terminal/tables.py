"""Listings: runs, and the bundled components."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.table import Table
from rich.text import Text

from manticore.runs import Run
from manticore.views.plots import perplexity_label, short_names, task_accuracies
from manticore.views.wording import duration, state_words


def runs_table(runs: Sequence[Run]) -> Table:
    """One line per run."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("run", no_wrap=True)
    table.add_column("state")
    table.add_column("what", min_width=16, overflow="fold")
    for column in ("steps", "perplexity"):
        table.add_column(column, justify="right", no_wrap=True)
    for run in runs:
        row = run.summary()
        left = f", {duration(row['eta_s'])} left" if row["eta_s"] is not None else ""
        table.add_row(
            row["id"],
            state_words(row) + left,
            _what(row),
            "" if row["step"] is None else f"{row['step']}/{row['total_steps']}",
            outcome_label(run, row["metrics"]),
        )
    return table


def _what(row: Mapping[str, Any]) -> Text:
    """The name of a run, if it has one, and what it does."""
    does = f"{row['stage']}: {' + '.join(short_names(row['components']))}"
    named = row["name"] and row["name"] != row["stage"]
    return Text(f"{row['name']} ({does})" if named else does)


def outcome_label(run: Run, metrics: Mapping[str, Any] | None) -> str:
    """Perplexity of a run, or mean accuracy on the tasks of programming; "" if not known yet.

    Args:
        run: The run.
        metrics: Metrics of its last evaluation; None before the first one.
    """
    if metrics is None:
        return ""
    if run.config.stage == "program":
        measured = task_accuracies(run.events()).values()
        return f"{fmean(values[-1] for values in measured):.0%} right"
    return perplexity_label(metrics["perplexity"])


def zoo_table(cards: Mapping[str, Mapping[str, Any]]) -> Table:
    """The bundled components side by side, one column each, with their held-out perplexities.

    Args:
        cards: Card of each component, by name.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for name in cards:
        table.add_column(name, justify="right", no_wrap=True)
    facts = {
        "family": lambda card: card["model_type"],
        "parameters": lambda card: f"{card['parameters'] / 1e6:.1f} M",
        "width": lambda card: str(card["width"]),
        "layers": lambda card: str(card["depth"]),
        "language": lambda card: card["language"],
    }
    for label, fact in facts.items():
        table.add_row(label, *map(fact, cards.values()))
    table.add_row(Text("held-out perplexity", "dim"))
    texts = dict.fromkeys(text for card in cards.values() for text in card["perplexity"])
    for text in texts:
        measured = (card["perplexity"].get(text) for card in cards.values())
        values = (
            "" if found is None else perplexity_label(found["perplexity"]) for found in measured
        )
        table.add_row(text, *values)
    return table

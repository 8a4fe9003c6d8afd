"""The tables of the demonstration: what a hybrid is made of, and how well models predict a text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

from rich.table import Table
from rich.text import Text
from transformers import PreTrainedModel

from manticore.hybrid import ManticoreForCausalLM
from manticore.runs import Run
from manticore.views.plots import component_colour, perplexity_label, short_names


@dataclass(frozen=True)
class Measured:
    """A perplexity.

    Attributes:
        name: What was measured.
        perplexity: Perplexity of it; None where it is not finite.
        color: Color of its name.
    """

    name: str
    perplexity: float | None
    color: str = ""


def components_alone(metrics: Mapping[str, Any]) -> list[Measured]:
    """Perplexity of each component of a run, before the run, and the lowest that is possible.

    Args:
        metrics: What the run has measured, as in its `eval` events.
    """
    values = metrics["components"].values()
    names = short_names(list(metrics["components"]))
    found = [
        Measured(f"{name} alone", value, component_colour(k))
        for k, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    if metrics["floor"] is not None:
        found.insert(0, Measured("lowest possible", math.exp(metrics["floor"]), "dim"))
    return found


def last_perplexity(run: Run) -> float | None:
    """Perplexity of a run's hybrid at its end."""
    return run.metrics()["perplexity"]


def comparison(measured: Sequence[Measured], text: str) -> Table:
    """Perplexities below each other; that of the last row is what the others are compared with.

    Args:
        measured: What was measured.
        text: What on.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"held-out perplexity, {text}", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    for row in measured:
        style = "bold" if row is measured[-1] else row.color
        value = Text(perplexity_label(row.perplexity), "bold" if row is measured[-1] else "")
        table.add_row(Text(row.name, style), value)
    return table


def components_table(hybrid: ManticoreForCausalLM) -> Table:
    """What a hybrid is made of: family, size, shape and cuts of each component."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("component", "family"):
        table.add_column(column, no_wrap=True)
    for column in ("parameters", "width", "layers"):
        table.add_column(column, justify="right")
    table.add_column("layers of each block")
    models = cast("list[PreTrainedModel]", list(hybrid.components))
    for k, (name, model) in enumerate(zip(hybrid.component_names, models, strict=True)):
        cuts = hybrid.cuts[k]
        sizes = [stop - start for start, stop in pairwise(cuts)]
        table.add_row(
            Text(name, component_colour(k)),
            model.config.model_type,
            f"{model.num_parameters() / 1e6:.1f} M",
            str(hybrid.widths[k]),
            str(cuts[-1]),
            " + ".join(map(str, sizes)),
        )
    projectors = sum(parameter.numel() for parameter in hybrid.projectors.parameters())
    whole = f"{hybrid.num_parameters() / 1e6:.1f} M"
    note = f"projectors {projectors / 1e6:.1f} M, aligned in closed form"
    table.add_row("the hybrid", "", whole, str(hybrid.width), "", note)
    return table

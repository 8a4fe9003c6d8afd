"""Results of recipes and sweeps, as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from manticore.runs import Run
from manticore.views.plots import perplexity_label
from manticore.views.terminal.tables import outcome_label


def stages_table(runs: Sequence[Run]) -> Table:
    """The stages of a finished recipe: the run of each, and its result."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stage", no_wrap=True)
    # An id is there to be copied, whole.
    table.add_column("run", no_wrap=True, min_width=max(len(run.id) for run in runs))
    table.add_column("perplexity", justify="right", no_wrap=True)
    for run in runs:
        table.add_row(run.config.stage, run.id, outcome_label(run, run.metrics()))
    return table


def sweep_table(settings: Sequence[Mapping[str, Any]]) -> Table:
    """Mean and spread over seeds of every setting.

    Args:
        settings: Settings with their means, as `Sweep.by_setting` returns them.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in settings[0]["setting"]:
        table.add_column(name, overflow="fold")
    for column in ("perplexity", "spread", "seeds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in settings:
        values = [str(value) for value in row["setting"].values()]
        average = "failed" if row["mean"] is None else perplexity_label(row["mean"])
        spread = "" if row["spread"] is None else f"{row['spread']:.3f}"
        table.add_row(*values, average, spread, str(row["seeds"]))
    return table

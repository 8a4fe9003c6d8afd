"""Several runs over each other, as the page and a notebook show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import plotly.graph_objects as go

from manticore.runs import Run
from manticore.views.differences import differences, differences_html
from manticore.views.plots.comparing import RUN_COLOURS, comparison_figure
from manticore.views.plots.theme import short_names
from manticore.views.terminal.tables import outcome_label

MOST = len(RUN_COLOURS)
"""Runs that can be told apart in one figure."""


def run_label(run: Run) -> str:
    """A run in one line, for lists: its name or its components, stage, blocks and date.

    Args:
        run: The run.
    """
    config = run.config
    what = " + ".join(short_names(config.components))
    name = run.name
    if name and name != config.stage:
        # What a recipe called it; a name that somebody gave later is kept as it is.
        what = name.removesuffix(config.stage).strip() if name == config.name else name
    when = datetime.fromtimestamp(run.status.created).strftime("%m-%d %H:%M")
    whose = f"{config.owner}: " if config.owner else ""
    stage = config.stage.replace("-", " ")
    return f"{whose}{what} · {stage} · {config.n_blocks} blocks · {when}"


@dataclass(frozen=True)
class Comparison:
    """Runs next to each other; in a notebook it shows its table and its figure.

    Attributes:
        labels: Label of each run.
        rows: Perplexity or accuracy, and each option in which the runs differ, with a value for
            each run.
        figure: Held-out perplexity of each run at its evaluations.
    """

    labels: Sequence[str]
    rows: Mapping[str, Sequence[str]]
    figure: go.Figure

    def to_html(self) -> str:
        """The table."""
        return differences_html(self.labels, self.rows)

    def _ipython_display_(self) -> None:
        # Here, because only notebooks have it.
        from IPython.display import HTML, display

        display(HTML(self.to_html()), self.figure)

    def __str__(self) -> str:
        lines = [f"{number}: {label}" for number, label in enumerate(self.labels, 1)]
        lines += [f"{name}: {' | '.join(values)}" for name, values in self.rows.items()]
        return "\n".join(lines)


def compare(runs: Sequence[Run]) -> Comparison:
    """Show runs over each other: what came of them, and in which options they differ.

    Args:
        runs: Two to six runs, running or ended.

    Returns:
        The comparison as it is now; in a notebook it shows itself, elsewhere `print` does.

    Raises:
        ValueError: There are fewer or more runs.
    """
    if not 2 <= len(runs) <= MOST:
        raise ValueError(f"Two to {MOST} runs can be compared, and not {len(runs)}.")
    labels = [run_label(run) for run in runs]
    outcomes = [outcome_label(run, run.summary()["metrics"]) for run in runs]
    rows = {"held-out perplexity": outcomes, **differences([run.config for run in runs])}
    drawn = [(label, run.thinned_events()[0]) for label, run in zip(labels, runs, strict=True)]
    return Comparison(labels, rows, comparison_figure(drawn))

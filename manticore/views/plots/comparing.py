"""Several runs over each other: held-out perplexity over their steps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from manticore.views.plots.theme import MAX_POINTS, empty_figure, new_figure, thin

RUN_COLOURS = ("#7c5cd6", "#0d7a5b", "#b23a33", "#b7791f", "#20719f", "#5b6675")
"""Colours of runs, which are not those of components."""
NOTHING = "Choose two or more runs to compare"
_LOG_RATIO = 10.0


def comparison_figure(runs: Sequence[tuple[str, Iterable[Mapping[str, Any]]]]) -> go.Figure:
    """A line for each run: its held-out perplexity at each evaluation.

    Args:
        runs: Label and events of each run.
    """
    lines = [(label, *_measured(events)) for label, events in runs]
    values = [value for _, _, perplexities in lines for value in perplexities]
    if not values:
        return empty_figure(NOTHING)
    figure = new_figure(height=340)
    for index, (label, steps, perplexities) in enumerate(lines):
        kept = thin(len(steps), MAX_POINTS // max(1, len(lines)))
        figure.add_scatter(
            x=[steps[i] for i in kept],
            y=[perplexities[i] for i in kept],
            name=label,
            mode="lines+markers",
            line={"color": RUN_COLOURS[index % len(RUN_COLOURS)], "width": 2.5},
            hovertemplate="step %{x}: %{y:.2f}<extra>%{fullData.name}</extra>",
        )
    wide = max(values) > _LOG_RATIO * min(values)
    figure.update_xaxes(title="step")
    figure.update_yaxes(
        title="perplexity, held-out text (lower is better)", type="log" if wide else "linear"
    )
    figure.update_layout(showlegend=True, margin={"t": 30 + 20 * len(lines)})
    figure.update_layout(legend={"orientation": "v"})
    return figure


def _measured(events: Iterable[Mapping[str, Any]]) -> tuple[list[int], list[float]]:
    """Steps and perplexities of the evaluations; of several at one step the last."""
    found = {
        event["step"]: event["metrics"].get("perplexity")
        for event in events
        if event["kind"] == "eval" and not event.get("task")
    }
    known = {step: value for step, value in sorted(found.items()) if value is not None}
    return list(known), list(known.values())

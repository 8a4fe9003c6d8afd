"""How good a hybrid is: its perplexity next to that of each component alone, or its accuracy."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from manticore.views.plots.curve import curve_figure, is_curve
from manticore.views.plots.tasks import task_figure
from manticore.views.plots.theme import INK, component_colour, empty_figure, new_figure, short_names

NO_PERPLEXITY = "Perplexity appears here<br>after the first evaluation"
# Beyond this ratio a linear axis would leave the good bars invisible.
_LOG_RATIO = 20.0


_CHARACTER = 7.5
"""Width of a character of a label, in pixels."""


def outcome_figure(events: Iterable[Mapping[str, Any]], stage: str, run_id: str = "") -> go.Figure:
    """The last evaluation: accuracy by task for programming, a curve for a sweep, else perplexity.

    Args:
        events: Events of one run, as `Run.events` returns them; other kinds are ignored.
        stage: Stage of the run.
        run_id: Id of the run; a reader's zoom is kept while it stays the same.
    """
    if stage == "program":
        return task_figure(events, run_id)
    measured = [event["metrics"] for event in events if event["kind"] == "eval"]
    metrics = measured[-1] if measured else {}
    if is_curve(metrics):
        return curve_figure(metrics, list(metrics["components"]), run_id)
    return perplexity_figure(metrics, metrics.get("floor"), run_id)


def perplexity_figure(
    metrics: Mapping[str, Any] | None, floor: float | None = None, run_id: str = ""
) -> go.Figure:
    """Horizontal bars of held-out perplexity: the hybrid first, then each component alone.

    Args:
        metrics: Metrics of an `eval` event: `perplexity` of the hybrid, and `components`, the
            perplexity of each by name. None before the first evaluation.
        floor: Entropy of the text in nats per token; drawn as the perplexity exp(floor).
        run_id: Id of the run; a reader's zoom is kept while it stays the same.
    """
    if not metrics or metrics.get("perplexity") is None:
        return empty_figure(NO_PERPLEXITY, run_id)
    components = metrics.get("components") or {}
    labels = ["<b>hybrid</b>", *short_names(list(components))]
    values = [metrics["perplexity"], *components.values()]
    known = [value for value in values if value is not None]
    figure = new_figure(run_id, height=94 + 38 * len(labels))
    figure.add_bar(
        x=values,
        y=labels,
        orientation="h",
        marker={"color": [INK, *(component_colour(k) for k in range(len(components)))]},
        text=[perplexity_label(value) for value in values],
        textposition="outside",
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
    )
    lowest = math.exp(floor) if floor is not None else min(known)
    if max(known) > _LOG_RATIO * lowest:
        figure.update_xaxes(type="log", range=_log_range(lowest, max(known)))
    else:
        figure.update_xaxes(range=[0, 1.18 * max(known)])
    if floor is not None:
        figure.add_vline(x=lowest, line={"dash": "dash", "width": 1.5, "color": INK})
    title = "perplexity, held-out text (lower is better)<br>components alone, before the run"
    if floor is not None:
        title += "<br>dashed: lowest possible"
        figure.update_layout(height=figure.layout.height + 18)
    figure.update_xaxes(title=title)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    # Not left to Plotly: a figure that is drawn on a hidden tab would get no room for its labels.
    left = _CHARACTER * max(len("hybrid"), *map(len, short_names(list(components))), 0) + 18
    figure.update_layout(margin={"t": 10, "r": 40, "l": left}, bargap=0.35)
    return figure


def perplexity_label(value: float | None) -> str:
    """A perplexity in a few characters, whatever its size."""
    if value is None:
        return "not finite"
    return f"{value:.2f}" if value < 1000 else f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"


def _log_range(lowest: float, highest: float) -> Sequence[float]:
    return [math.log10(lowest) - 0.3, math.log10(highest) + 1.0]

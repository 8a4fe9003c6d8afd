"""The curve of a sweep: how good the hybrid is along the line from one component to the other."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from manticore.views.plots.theme import INK, component_colour, new_figure, short_names


def is_curve(metrics: Mapping[str, Any]) -> bool:
    """Whether an evaluation is of points on one line: of two components, one row for all blocks."""
    points = metrics.get("candidates") or []
    return bool(points) and all(len(rows) == 1 and len(rows[0]) == 2 for rows in points)


def curve_figure(metrics: Mapping[str, Any], names: Sequence[str], run_id: str = "") -> go.Figure:
    """Held-out perplexity over the mixture weight of the first component; the best is marked.

    Args:
        metrics: Metrics of the last `eval` event of a sweep: `candidates` (M, 1, 2), and
            `held_out_losses`, M in nats per token.
        names: Names of the two components.
        run_id: Id of the run; a reader's zoom is kept while it stays the same.
    """
    first, other = short_names(names)
    points = sorted(
        (rows[0][0], math.exp(min(loss, 700.0)))
        for rows, loss in zip(metrics["candidates"], metrics["held_out_losses"], strict=True)
        if loss is not None
    )
    figure = new_figure(run_id, height=320)
    figure.add_scatter(
        x=[weight for weight, _ in points],
        y=[perplexity for _, perplexity in points],
        mode="lines+markers",
        line={"color": component_colour(0), "width": 2},
        marker={"size": 7},
        showlegend=False,
        hovertemplate=f"{first} %{{x:.2f}}: %{{y:.2f}}<extra></extra>",
    )
    weight, best = min(points, key=lambda point: point[1])
    figure.add_scatter(
        x=[weight],
        y=[best],
        mode="markers+text",
        marker={"size": 13, "color": INK},
        text=[f"<b>{best:.2f}</b> at {weight:.2f}"],
        textposition="top right" if weight < 0.5 else "top left",
        cliponaxis=False,
        showlegend=False,
        hoverinfo="skip",
    )
    highest = max(perplexity for _, perplexity in points)
    figure.update_yaxes(type="log" if highest > 20 * best else "linear")
    figure.update_yaxes(title="perplexity, held out from training")
    figure.update_xaxes(
        title=f"mixture weight of {first} in every block<br>0: {other} alone", range=[-0.05, 1.05]
    )
    figure.update_layout(margin={"t": 26, "r": 24})
    return figure

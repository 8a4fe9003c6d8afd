"""The way of the mixture weights of three components through their triangle."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from manticore.store.events import last_per_step_by_task
from manticore.views.plots.theme import (
    GRID,
    MAX_POINTS,
    component_colour,
    new_figure,
    short_names,
    thin,
)
from manticore.views.wording import short_task

CORNERS = np.array([[0.5, math.sqrt(3) / 2], [0.0, 0.0], [1.0, 0.0]])
"""Where a component alone stands, (3, 2): the first above, the others below."""
SHADES = ("#4f86ad", "#5b3fa0")
"""From the first block to the last."""


def path_figure(events: Iterable[Mapping[str, Any]], run_id: str = "") -> go.Figure | None:
    """A line for each block, from its mixture weights at the start to those now.

    Args:
        events: Events of one run, as `Run.events` returns them; other kinds are ignored. Of a
            programming run, those of the task that was searched last are drawn.
        run_id: Id of the run; a reader's zoom is kept while it stays the same.

    Returns:
        The figure; None unless there are three components.
    """
    of_task = last_per_step_by_task(events, "mixture")
    if not of_task:
        return None
    task, mixtures = list(of_task.items())[-1]
    names = short_names(mixtures[-1]["components"])
    if len(names) != len(CORNERS):
        return None
    n_blocks = len(mixtures[-1]["weights"])
    kept = [mixtures[i] for i in thin(len(mixtures), max(2, MAX_POINTS // n_blocks))]
    steps = [event["step"] for event in kept]
    alpha = np.array([event["weights"] for event in kept], dtype=np.float64)
    figure = new_figure(run_id, height=340)
    _draw_triangle(figure, names)
    for block, shade in enumerate(_shades(n_blocks)):
        figure.add_trace(_path(block, alpha[:, block], steps, names, shade))
    figure.update_xaxes(visible=False, range=[-0.28, 1.28])
    figure.update_yaxes(visible=False, range=[-0.2, 1.02], scaleanchor="x")
    title = "each block's way, its number where it is now"
    figure.add_annotation(
        text=f"{title} ({short_task(task)})" if task else title,
        **{"x": 0.5, "y": -0.02, "xref": "paper", "yref": "paper", "showarrow": False},
        font={"size": 12},
    )
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 8, "t": 16, "b": 32})
    return figure


def _draw_triangle(figure: go.Figure, names: list[str]) -> None:
    x, y = CORNERS[[0, 1, 2, 0]].T
    outline = {"color": GRID, "width": 1.5}
    figure.add_scatter(x=x, y=y, mode="lines", line=outline, hoverinfo="skip")
    for k, (name, (x, y)) in enumerate(zip(names, CORNERS, strict=True)):
        figure.add_annotation(
            **{"x": x, "y": y, "yshift": 14 if k == 0 else -14, "showarrow": False},
            text=f"<b>{name}</b>",
            font={"size": 12, "color": component_colour(k)},
        )


def _path(
    block: int, alpha: np.ndarray, steps: list[int], names: list[str], shade: str
) -> go.Scatter:
    """The line of a block, with its mixture weights (S, 3) at the steps (S)."""
    x, y = (alpha @ CORNERS).round(4).T
    last = len(steps) - 1
    shares = [
        ", ".join(f"{weight:.0%} {name}" for weight, name in zip(row, names, strict=True))
        for row in alpha
    ]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers+text",
        line={"color": shade, "width": 2.5, "shape": "spline"},
        marker={
            "color": shade,
            "size": [18 if i == last else 0 for i in range(last + 1)],
            "opacity": 1,
            "line": {"width": 0},
        },
        text=[str(block + 1) if i == last else "" for i in range(last + 1)],
        textfont={"size": 11, "color": "#ffffff"},
        customdata=[[step, share] for step, share in zip(steps, shares, strict=True)],
        hovertemplate=f"block {block + 1}, step %{{customdata[0]}}: %{{customdata[1]}}"
        "<extra></extra>",
    )


def _shades(n_blocks: int) -> list[str]:
    places = [0.5] if n_blocks == 1 else np.linspace(0, 1, n_blocks).tolist()
    return [str(shade) for shade in sample_colorscale(list(SHADES), places)]

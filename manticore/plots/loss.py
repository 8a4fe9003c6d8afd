"""The loss over a run, with the lowest loss that is possible where it is known."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from manticore.plots.theme import (
    INK,
    MAX_POINTS,
    component_colour,
    empty_figure,
    new_figure,
    thin,
    translucent,
)
from manticore.train.events import last_per_step

NO_LOSS = "The loss appears here<br>with the first step"


def loss_figure(
    events: Iterable[Mapping[str, Any]], floor: float | None = None, run_id: str = ""
) -> go.Figure:
    """Training loss over the steps of a run, in nats per token: each step faint, their trend bold.

    Args:
        events: of one run, as `Run.events` or `read_events` gives them; other kinds are ignored.
        floor: the text's own entropy in nats per token, below which no model gets on average;
            drawn as a dashed line. None: not known.
        run_id: keeps a reader's zoom through refreshes.
    """
    recorded = last_per_step(events, "step")
    steps = np.array([event["step"] for event in recorded])
    losses = np.array([event.get("loss") for event in recorded], dtype=np.float64)
    finite = np.isfinite(losses)
    if not finite.any():
        return empty_figure(NO_LOSS, run_id)
    steps, losses = steps[finite], losses[finite]
    kept = thin(len(steps), MAX_POINTS // 2)
    trend = smooth(losses, window=len(losses) // 25 * 2 + 1)
    figure = new_figure(run_id)
    figure.add_scatter(
        x=steps[kept],
        y=losses[kept].round(5),
        name="each step",
        showlegend=False,
        mode="lines",
        line={"width": 1, "color": translucent(component_colour(0), 0.35)},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=steps[kept],
        y=trend[kept].round(5),
        name="loss, smoothed",
        showlegend=True,
        mode="lines",
        line={"width": 2.5, "color": component_colour(0)},
        hovertemplate="step %{x}: %{y:.3f} nats per token<extra></extra>",
    )
    if floor is not None:
        figure.add_scatter(
            x=steps[[0, -1]],
            y=[floor, floor],
            name=f"entropy of the text: {floor:.2f}",
            mode="lines",
            line={"dash": "dash", "width": 1.5, "color": INK},
            hoverinfo="skip",
        )
    figure.update_xaxes(title="step", showgrid=False)
    figure.update_yaxes(title="loss (nats per token)", rangemode="normal")
    return figure


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average, over what there is of the window at both ends.

    Args:
        values: float (S,), finite.
        window: items, odd; 1 leaves the values as they are.
    """
    box = np.ones(min(window, len(values) - 1 + len(values) % 2))
    return np.convolve(values, box, "same") / np.convolve(np.ones_like(values), box, "same")

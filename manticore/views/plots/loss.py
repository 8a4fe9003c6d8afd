"""The loss over a run, with the lowest loss that is possible where it is known."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from manticore.store.events import last_per_step_by_task
from manticore.views.plots.theme import (
    INK,
    MAX_POINTS,
    component_colour,
    empty_figure,
    new_figure,
    thin,
    translucent,
)

NO_LOSS = "The loss appears here<br>with the first step"
NO_STEPS = "No training in an evaluation"


def loss_figure(
    events: Iterable[Mapping[str, Any]], floor: float | None = None, run_id: str = ""
) -> go.Figure:
    """Training loss over the steps of a run, in nats per token: each step faint, their trend bold.

    Where one task of a programming run ends and the next begins there is a gap.

    Args:
        events: Events of one run, as `Run.events` returns them; other kinds are ignored.
        floor: Entropy of the text in nats per token, the lowest mean loss that is possible;
            drawn as a dashed line. None where it is not known.
        run_id: Id of the run; a reader's zoom is kept while it stays the same.
    """
    events = list(events)
    of_task = last_per_step_by_task(events, "step").values()
    curves = [curve for curve in map(_curve, of_task) if len(curve)]
    if not curves:
        trains = all(event["total_steps"] for event in events if event["kind"] == "stage")
        return empty_figure(NO_LOSS if trains else NO_STEPS, run_id)
    curves = [curve[thin(len(curve), MAX_POINTS // 2 // len(curves) - 1)] for curve in curves]
    # Each task starts from the beginning: no line leads from the loss of one to the next.
    gap = np.full((1, 3), np.nan)
    parts = [part for curve in curves for part in (curve, gap)][:-1]
    steps, losses, trend = np.concatenate(parts).T
    figure = new_figure(run_id)
    figure.add_scatter(
        x=steps,
        y=losses.round(5),
        name="each step",
        showlegend=False,
        mode="lines",
        line={"width": 1, "color": translucent(component_colour(0), 0.35)},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=steps,
        y=trend.round(5),
        name="loss, smoothed",
        showlegend=True,
        # One step makes no line.
        mode="lines" if len(steps) > 1 else "markers",
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


def _curve(recorded: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Step, loss and smoothed loss, float64 (S, 3), of the S steps whose loss is finite."""
    steps = np.array([event["step"] for event in recorded], dtype=np.float64)
    losses = np.array([event.get("loss") for event in recorded], dtype=np.float64)
    finite = np.isfinite(losses)
    steps, losses = steps[finite], losses[finite]
    if not len(losses):
        return np.empty((0, 3))
    trend = smooth(losses, window=len(losses) // 25 * 2 + 1)
    return np.stack([steps, losses, trend], axis=1)


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centered moving average; at both ends, over the part of the window that exists.

    Args:
        values: float (S,), finite.
        window: items, odd; 1 leaves the values as they are.
    """
    box = np.ones(min(window, len(values) - 1 + len(values) % 2))
    return np.convolve(values, box, "same") / np.convolve(np.ones_like(values), box, "same")

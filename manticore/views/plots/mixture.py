"""Pictures of the mixture weights: over a run, and at one moment."""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from manticore.store.events import last_per_step_by_task
from manticore.views.plots.theme import (
    GRID,
    INK,
    MAX_POINTS,
    TEMPLATE,
    component_colour,
    empty_figure,
    new_figure,
    short_names,
    thin,
    translucent,
)
from manticore.views.wording import short_task

# More panels than this are too small to read: the blocks become the rows of a heatmap.
MAX_PANELS = 12
# No weight, under dark figures, on a light page and a dark one.
PALE = "#e3e8ee"
COMBINED = "combined"
"""The task of the event with what all tasks come to."""
COMBINED_WIDTH = 0.12
DIVIDER = "#f8fafc"
NO_MIXTURE = "The mixture weights appear here<br>with the first step of the search"


@dataclass(frozen=True)
class Stretch:
    """Mixture weights that follow each other: of a whole run, or of one task's search.

    Attributes:
        label: short name of the task; "" for a run without tasks.
        steps: where they are drawn, float64 (S,).
        alpha: float64 (S, N, K).
        hover: where a reader points, in Plotly's terms.
    """

    label: str
    steps: np.ndarray
    alpha: np.ndarray
    hover: str


def mixture_figure(events: Iterable[Mapping[str, Any]], run_id: str = "") -> go.Figure:
    """The mixture weights over the steps of a run.

    Up to 12 blocks: one small panel per block, in which the components' weights, which sum to 1,
    share the height. More: one heatmap per component, blocks as rows and steps as columns. A
    programming run searches each task from the hybrid's own mixture weights again: its tasks stand
    side by side under their names, and what they combine to at the end.

    Args:
        events: Events of one run, as `Run.events` returns them; other kinds are ignored.
        run_id: Id of the run; a reader's zoom is kept while it stays the same.

    Raises:
        ValueError: the mixture events differ in shape.
    """
    of_task = last_per_step_by_task(events, "mixture")
    if not of_task:
        return empty_figure(NO_MIXTURE, run_id)
    mixtures = [event for of_one in of_task.values() for event in of_one]
    shapes = {np.shape(event["weights"]) for event in mixtures}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(
            f"the mixture events have the shapes {sorted(shapes)}: one run has one (blocks, "
            "components) throughout"
        )
    n_blocks, K = next(iter(shapes))
    names = short_names(mixtures[-1]["components"])
    room = MAX_POINTS // (n_blocks if n_blocks > MAX_PANELS else n_blocks * K)
    last = max(event["step"] for event in mixtures)
    stretches = [
        _stretch(task, of_one, room // len(of_task), last) for task, of_one in of_task.items()
    ]
    draw = _panels if n_blocks <= MAX_PANELS else _heatmaps
    figure = draw(stretches, names)
    _name_tasks(figure, stretches)
    figure.layout.uirevision = run_id
    return figure


def mixture_heatmap(
    alpha: Any, components: Sequence[str], run_id: str = "", task: str = ""
) -> go.Figure:
    """The mixture weights at one moment: blocks from left to right, a row per component.

    Args:
        alpha: Mixture weights, (N, K): a tensor, array or nested list.
        components: Names of the K components.
        run_id: Id of the run; a reader's zoom is kept while it stays the same.
        task: Task that the weights were searched on, named under the blocks; "" for no task.

    Raises:
        ValueError: `alpha` has not two axes, or not one column per name.
    """
    weights = np.asarray(alpha.tolist() if hasattr(alpha, "tolist") else alpha, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != len(components):
        raise ValueError(
            f"alpha has the shape {weights.shape}: it must be (blocks, {len(components)}), a "
            "column for each of the named components"
        )
    n_blocks, K = weights.shape
    names = short_names(components)
    figure = new_figure(run_id, height=96 + 46 * K)
    for k, name in enumerate(names):
        figure.add_heatmap(
            z=weights[:, k : k + 1].T.round(4),
            x=list(range(1, n_blocks + 1)),
            y=[k],
            zmin=0,
            zmax=1,
            xgap=3 if n_blocks <= 24 else 1,
            ygap=3,
            colorscale=[[0, PALE], [1, component_colour(k)]],
            showscale=False,
            hovertemplate=f"block %{{x}}, {name}: %{{z:.1%}}<extra></extra>",
        )
    if n_blocks <= 16:
        _write_weights(figure, weights)
    title = f"block ({short_task(task)})" if task else "block"
    figure.update_xaxes(title=title, dtick=max(1, n_blocks // 12), showgrid=False)
    figure.update_yaxes(tickvals=list(range(K)), ticktext=names, showgrid=False)
    figure.update_yaxes(range=[K - 0.5, -0.5])
    figure.update_layout(margin={"t": 16})
    return figure


def _stretch(task: str, mixtures: Sequence[Mapping[str, Any]], at_most: int, last: int) -> Stretch:
    kept = [mixtures[i] for i in thin(len(mixtures), max(2, at_most))]
    steps = np.array([event["step"] for event in kept], dtype=np.float64)
    alpha = np.array([event["weights"] for event in kept], dtype=np.float64)
    label, hover = short_task(task), "step %{x:.0f}"
    if task == COMBINED:
        # One moment, given a width after the last task to be seen.
        steps, alpha = last * np.array([1, 1 + COMBINED_WIDTH]), alpha.repeat(2, axis=0)
        hover = label
    elif task:
        hover = f"{label}, {hover}"
    elif last == 0 and len(steps) == 1:
        # Nothing has moved yet, or never will: one moment would be an area without a width.
        steps, alpha = np.array([0.0, 1.0]), alpha.repeat(2, axis=0)
    return Stretch(label, steps, alpha, hover)


def _panels(stretches: Sequence[Stretch], names: Sequence[str]) -> go.Figure:
    """One stacked-area panel per block."""
    n_blocks = stretches[0].alpha.shape[1]
    frame, axes = _frame(n_blocks)
    layout = copy.deepcopy(frame)
    # Names side by side would overlap on a phone; there the color tells them.
    narrow, now = _columns(n_blocks) > 2, stretches[-1].alpha[-1]
    for block, title in enumerate(layout["annotations"]):
        title["text"] = _panel_title(block, now[block], names, narrow=narrow)
    for axis in {own["xaxis"] for own in axes}:
        layout[axis.replace("x", "xaxis")]["range"] = _x_range(stretches)
    traces = [
        {**area, **axes[block]}
        for block in range(n_blocks)
        for area in _areas(block, stretches, names)
    ]
    return go.Figure({"data": traces, "layout": layout})


def _columns(n_blocks: int) -> int:
    """How many panels stand side by side."""
    return n_blocks if n_blocks <= 4 else 3 if n_blocks in {5, 6, 9} else 4


@lru_cache(maxsize=MAX_PANELS)
def _frame(n_blocks: int) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The layout of the panels, and the axes of each.

    Plotly takes five times as long to put it together as to read it.
    """
    n_columns = _columns(n_blocks)
    n_rows = math.ceil(n_blocks / n_columns)
    figure = make_subplots(
        rows=n_rows,
        cols=n_columns,
        shared_xaxes="all",  # pyright: ignore[reportArgumentType]  (its annotation is too narrow)
        shared_yaxes="all",  # pyright: ignore[reportArgumentType]
        subplot_titles=[f"Block {block + 1}" for block in range(n_blocks)],
        horizontal_spacing=0.04,
        vertical_spacing=0.3 / n_rows,
    )
    figure.add_traces(
        [go.Scatter() for _ in range(n_blocks)],
        rows=[block // n_columns + 1 for block in range(n_blocks)],
        cols=[block % n_columns + 1 for block in range(n_blocks)],
    )
    figure.update_annotations(font={"size": 12, "color": INK})
    figure.update_yaxes(range=[0, 1], tickvals=[0, 0.5, 1], tickformat=".0%", showgrid=False)
    figure.update_xaxes(showgrid=False, nticks=3)
    figure.update_xaxes(title={"text": "step", "standoff": 6}, row=n_rows)
    figure.update_layout(height=128 + 160 * n_rows, margin={"t": 80, "r": 12}, template=TEMPLATE)
    made = figure.to_plotly_json()
    axes = [{"xaxis": trace["xaxis"], "yaxis": trace["yaxis"]} for trace in made["data"]]
    return made["layout"], axes


def _areas(block: int, stretches: Sequence[Stretch], names: Sequence[str]) -> list[dict[str, Any]]:
    """The traces of a panel; each stretch is a stack of its own, so that none runs on."""
    return [
        {
            "type": "scatter",
            "x": stretch.steps,
            "y": stretch.alpha[:, block, k].round(4),
            "name": name,
            "legendgroup": name,
            "showlegend": block == 0 and index == 0,
            "stackgroup": f"{block} {stretch.label}".strip(),
            "mode": "lines",
            "line": {"width": 1.2, "color": component_colour(k)},
            "fillcolor": translucent(component_colour(k), 0.86),
            "hovertemplate": f"{name} %{{y:.1%}}<extra>{stretch.hover}</extra>",
        }
        for index, stretch in enumerate(stretches)
        for k, name in enumerate(names)
    ]


def _heatmaps(stretches: Sequence[Stretch], names: Sequence[str]) -> go.Figure:
    """One heatmap of blocks by steps per component; of two components one says all."""
    n_blocks, K = stretches[0].alpha.shape[1:]
    shown = [0] if K == 2 else list(range(K))
    titles = [names[k] for k in shown]
    if K == 2:
        titles = [f"share of {names[0]}; the rest is {names[1]}"]
    figure = make_subplots(
        rows=1, cols=len(shown), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.03
    )
    for column, k in enumerate(shown, start=1):
        for index, stretch in enumerate(stretches):
            figure.add_heatmap(
                z=stretch.alpha[:, :, k].T.round(4),
                x=_edges(stretch.steps),
                y=list(range(1, n_blocks + 1)),
                zmin=0,
                zmax=1,
                colorscale=_between(component_colour(1), component_colour(0))
                if K == 2
                else _scale(component_colour(k)),
                showscale=K == 2 and index == 0,
                colorbar={"tickformat": ".0%", "thickness": 10, "outlinewidth": 0},
                hovertemplate=f"block %{{y}}, {names[k]}: %{{z:.1%}}<extra>{stretch.hover}</extra>",
                row=1,
                col=column,
            )
    figure.update_annotations(font={"size": 13, "color": INK})
    figure.update_yaxes(autorange="reversed", showgrid=False, dtick=max(1, n_blocks // 12))
    figure.update_yaxes(title="block", col=1)
    figure.update_xaxes(title="step", showgrid=False, nticks=4)
    figure.update_layout(height=130 + 8 * n_blocks, margin={"t": 40}, template=TEMPLATE)
    return figure


def _name_tasks(figure: go.Figure, stretches: Sequence[Stretch]) -> None:
    """Put a line where a task begins, and its name under it in place of the steps."""
    if not stretches[0].label:
        return
    traces: Any = figure.data
    panels = dict.fromkeys((trace.xaxis or "x", trace.yaxis or "y") for trace in traces)
    for stretch in stretches[1:]:
        for x, y in panels:
            at = {"x0": stretch.steps[0], "x1": stretch.steps[0], "xref": x}
            line = {"width": 2, "color": DIVIDER}
            figure.add_shape(type="line", **at, y0=0, y1=1, yref=f"{y} domain", line=line)
    figure.update_xaxes(
        title="",
        tickvals=[(stretch.steps[0] + stretch.steps[-1]) / 2 for stretch in stretches],
        ticktext=[stretch.label for stretch in stretches],
        tickfont={"size": 11},
        tickangle=-45,
    )
    figure.layout.height += 60


def _panel_title(block: int, weights: np.ndarray, names: Sequence[str], *, narrow: bool) -> str:
    k = int(weights.argmax())
    share = f"{weights[k]:.0%}" if narrow else f"{names[k]} {weights[k]:.0%}"
    leading = f'<span style="color:{component_colour(k)}">{share}</span>'
    return f"<b>Block {block + 1}</b><br>{leading}"


def _write_weights(figure: go.Figure, weights: np.ndarray) -> None:
    for block, row in enumerate(weights):
        for k, weight in enumerate(row):
            figure.add_annotation(
                x=block + 1,
                y=k,
                text=f"{weight:.2f}",
                showarrow=False,
                font={"size": 12, "color": "#1c2530"},
            )


def _edges(steps: np.ndarray) -> np.ndarray:
    """Where the cells of steps (S,) end, (S + 1,), so that none reaches into another stretch."""
    if len(steps) == 1:
        return steps
    return np.concatenate([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]])


def _x_range(stretches: Sequence[Stretch]) -> list[float]:
    first, last = float(stretches[0].steps[0]), float(stretches[-1].steps[-1])
    return [first, last if last > first else first + 1]


def _scale(hex_colour: str) -> list[list[Any]]:
    """From nearly nothing to the colour: reads on light and dark pages alike."""
    return [[0, translucent(hex_colour, 0.07)], [1, translucent(hex_colour, 1)]]


def _between(low: str, high: str) -> list[list[Any]]:
    return [[0, low], [0.5, GRID], [1, high]]

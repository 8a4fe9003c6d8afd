"""How well a programming run does each of its tasks."""

from collections.abc import Iterable, Mapping
from typing import Any

import plotly.graph_objects as go

from manticore.store.events import last_per_step_by_task
from manticore.views.plots.theme import INK, empty_figure, new_figure
from manticore.views.wording import short_task

BEFORE = "#c2453d"
NO_ACCURACY = "Accuracy on each task appears here<br>as soon as it is measured"


def task_accuracies(events: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Test accuracies of each task, by its short name, in the order in which they were measured.

    Args:
        events: of one run; other kinds than `eval` are ignored.
    """
    return {
        short_task(task): [event["metrics"]["accuracy"] for event in of_task]
        for task, of_task in last_per_step_by_task(events, "eval").items()
    }


def task_figure(events: Iterable[Mapping[str, Any]], run_id: str = "") -> go.Figure:
    """Horizontal bars of test accuracy, a bar per task in the order of the run.

    A bar is the last that was measured; a tick on it is the first, before the task's search.

    Args:
        events: Events of one run, as `Run.events` returns them; other kinds are ignored.
        run_id: Id of the run; a reader's zoom is kept while it stays the same.
    """
    measured = task_accuracies(events)
    if not measured:
        return empty_figure(NO_ACCURACY, run_id)
    figure = new_figure(run_id, height=112 + 38 * len(measured))
    tasks = list(measured)
    first, last = ([values[i] for values in measured.values()] for i in (0, -1))
    figure.add_bar(
        x=last,
        y=tasks,
        orientation="h",
        marker={"color": INK},
        text=[f"{value:.0%}" for value in last],
        textposition="outside",
        cliponaxis=False,
        name="now",
        showlegend=False,
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    figure.add_scatter(
        x=first,
        y=tasks,
        mode="markers",
        marker={"symbol": "line-ns", "size": 18, "line": {"width": 2.5, "color": BEFORE}},
        name="before the search",
        hovertemplate="%{y}, before its search: %{x:.1%}<extra></extra>",
    )
    figure.update_xaxes(range=[0, 1.12], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    figure.update_xaxes(title="accuracy on test examples (higher is better)")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_layout(margin={"t": 34, "r": 20}, bargap=0.35)
    return figure

"""A run that moves in a notebook's output, from a thread that only reads the run's folder.

The cell returns at once, and later cells can be run meanwhile: the run is a process of its own.
"""

import html
import threading
from typing import Any

import ipywidgets
import plotly.graph_objects as go
from IPython.display import display

from manticore.plots import loss_figure, mixture_figure, outcome_figure, short_task
from manticore.runs import Run
from manticore.runs.wording import STATE_WORDS, duration, preparing

TICK = 0.5
WIDTHS = (840, 420, 420)
"""Of the figures, in pixels: front ends do not tell how much room there is."""


class LiveView(ipywidgets.VBox):
    """Status, mixture weights, loss, perplexity or accuracy on tasks, and last sample of a run.

    Args:
        run: The run, at work or ended.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.status = ipywidgets.HTML()
        self.sample = ipywidgets.HTML()
        self.figures = list(map(_widget, self._figures(), WIDTHS))
        mixture, *small = self.figures
        row = ipywidgets.HBox(small, layout={"flex_flow": "row wrap"})
        super().__init__([self.status, mixture, row, self.sample])
        self._seen: tuple | None = None
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"watch {run.id}", daemon=True)
        self._look()

    def start(self) -> "LiveView":
        """Keep what is shown up to date until the run ends."""
        self._thread.start()
        return self

    def stop_watching(self) -> None:
        """Look no more; what is shown stays, and the run goes on."""
        self._left.set()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run has ended and its end is shown.

        Args:
            timeout: Seconds; None waits for ever.
        """
        self._thread.join(timeout)

    def _follow(self) -> None:
        alive = True
        while alive and not self._left.is_set():
            # Asked before looking, so that the last look comes after the run's last word.
            alive = self.run.is_alive
            self._look()
            if alive:
                self._left.wait(TICK)

    def _look(self) -> None:
        events, row = self.run.events(), self.run.summary()
        now = (len(events), row["state"])
        if now == self._seen:
            return
        self._seen = now
        self.status.value = status_line(row)
        for widget, figure in zip(self.figures, self._figures(), strict=True):
            redraw(widget, figure)
        sample = next((e["text"] for e in reversed(events) if e["kind"] == "sample"), "")
        self.sample.value = f"<i>{html.escape(sample)}</i>"

    def _figures(self) -> list[go.Figure]:
        events, metrics = self.run.events(), self.run.summary()["metrics"] or {}
        floor = metrics.get("floor")
        return [
            mixture_figure(events, self.run.id),
            loss_figure(events, floor, self.run.id),
            outcome_figure(events, self.run.config.stage, self.run.id),
        ]


def _widget(figure: go.Figure, width: int) -> go.FigureWidget:
    widget = go.FigureWidget(figure)
    widget._config = {"displayModeBar": False}
    widget.layout.width = width
    return widget


def redraw(widget: go.FigureWidget, figure: go.Figure) -> None:
    """Make a figure on the screen look like `figure`, in one message where traces stay."""
    if [trace.type for trace in widget.data] != [trace.type for trace in figure.data]:
        widget.data = []
        widget.add_traces(figure.data)
    with widget.batch_update():
        for shown, trace in zip(widget.data, figure.data, strict=True):
            shown.update(trace.to_plotly_json(), overwrite=True)
        # What the new figure lacks would else stay: the words of an empty one, its lines.
        gone = {"annotations": [], "shapes": []}
        widget.layout.update(gone | figure.layout.to_plotly_json(), overwrite=True)


def watch(run: Run) -> LiveView:
    """Show a run in the current cell's output, live, and return at once.

    Args:
        run: The run, at work or ended.
    """
    view = LiveView(run)
    display(view)
    return view.start()


def status_line(row: dict[str, Any]) -> str:
    """A run's state in one line of HTML.

    Args:
        row: `Run.summary()`.
    """
    facts = [f"<b>{STATE_WORDS[row['state']]}</b>"]
    if row["step"] is None:
        facts.append(preparing(row["stage"]) if row["state"] in {"queued", "running"} else "")
    else:
        loss = "not finite" if row["loss"] is None else f"{row['loss']:.3f}"
        facts.append(f"step {row['step']} of {row['total_steps']}")
        facts += [short_task(row["task"] or ""), f"loss {loss}"]
    if row["eta_s"] is not None:
        facts.append(f"{duration(row['eta_s'])} left")
    trouble = f"{row['message']} {row['remedy'] or ''}" if row["message"] else ""
    facts += [html.escape(trouble.strip()), f"<code>{html.escape(row['id'])}</code>"]
    return f"<div>{' &middot; '.join(fact for fact in facts if fact)}</div>"

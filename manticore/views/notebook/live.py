"""A run that moves in a notebook's output, from a thread that only reads the run's folder.

The cell returns at once, and later cells can be run meanwhile: the run is a process of its own.
"""

import html
import threading
from typing import Any

import ipywidgets
import plotly.graph_objects as go
from IPython import get_ipython
from IPython.display import display

from manticore.runs import Run
from manticore.views.plots import loss_figure, mixture_figure, outcome_figure
from manticore.views.wording import phrases, state_words, warning_text

TICK = 0.5
WIDTHS = (840, 420, 420)
"""Of the figures, in pixels: front ends do not tell how much room there is."""


class LiveView(ipywidgets.VBox):
    """Status, warnings, mixture weights, loss, perplexity or accuracy, and last sample of a run.

    Args:
        run: The run, at work or ended.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.status = ipywidgets.HTML()
        self.warnings = ipywidgets.HTML()
        self.sample = ipywidgets.HTML()
        self.figures = list(map(_widget, self._figures(), WIDTHS))
        mixture, *small = self.figures
        row = ipywidgets.HBox(small, layout={"flex_flow": "row wrap"})
        super().__init__([self.status, self.warnings, mixture, row, self.sample])
        self.displayed_in: int | None = None
        self._seen: tuple | None = None
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"watch {run.id}", daemon=True)
        self._look()

    def _ipython_display_(self) -> None:
        """What IPython asks for first: of a cell's last value too, which `watch` has shown."""
        if self.displayed_in is None or self.displayed_in != _cell():
            display(self._repr_mimebundle_(), raw=True)

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
        said = (warning_text(event) for event in events if event["kind"] == "warning")
        self.warnings.value = "".join(f"<div>&#9888; {html.escape(text)}</div>" for text in said)
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
    view.displayed_in = _cell()
    return view.start()


def _cell() -> int | None:
    """The number of the cell that is being run; None outside of IPython."""
    shell = get_ipython()
    return None if shell is None else shell.execution_count


def status_line(row: dict[str, Any]) -> str:
    """A run's state in one line of HTML.

    Args:
        row: `Run.summary()`.
    """
    trouble = f"{row['message']} {row['remedy'] or ''}".strip() if row["message"] else ""
    said = [html.escape(text) for text in (*phrases(row), trouble) if text]
    said = [f"<b>{state_words(row)}</b>", *said, f"<code>{html.escape(row['id'])}</code>"]
    return f"<div>{' &middot; '.join(said)}</div>"

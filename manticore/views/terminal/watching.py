"""Watching a run in a terminal: drawn live where it can be, line by line where output is a file."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live

from manticore.runs import Run
from manticore.views.plots import short_names
from manticore.views.terminal.panel import run_view
from manticore.views.wording import in_its_folder, preparing, short_task

TICK = 0.5
View = Callable[[Run], RenderableType]
Until = Callable[[Run], bool]
LINES = 20
"""Lines of mixture weights over a whole run, where nothing can be drawn."""


def watch(
    run: Run,
    console: Console | None = None,
    view: View = run_view,
    until: Until = lambda run: False,
) -> bool:
    """Show a run until no process is at work on it, or until Ctrl-C, which does not end the run.

    Args:
        run: The run, running or ended.
        console: Where to show it; standard output if None.
        view: What is drawn of it.
        until: Whether to stop watching before the run ends.

    Returns:
        Whether it was watched until then.
    """
    console = console or Console()
    try:
        (_watch_drawn if console.is_terminal else _watch_by_lines)(run, console, view, until)
    except KeyboardInterrupt:
        again = f"manticore watch {run.id}{in_its_folder(run)}"
        console.print(
            f"The run continues. Watch it again: {again}", highlight=False, soft_wrap=True
        )
        return False
    return True


def _watch_drawn(run: Run, console: Console, view: View, until: Until) -> None:
    with Live(view(run), console=console, auto_refresh=False) as live:
        while run.is_alive and not until(run):
            time.sleep(TICK)
            live.update(view(run), refresh=True)
        live.update(view(run), refresh=True)


def _watch_by_lines(run: Run, console: Console, view: View, until: Until) -> None:
    lines, seen, alive = MixtureLines(), 0, True
    console.print(preparing(run.summary()))
    while alive:
        alive = run.is_alive and not until(run)
        events = run.events()
        for event in events[seen:]:
            for line in lines.of(event):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        seen = len(events)
        time.sleep(TICK if alive else 0)
    console.print(view(run))


class MixtureLines:
    """Events as plain lines: the mixture weights of every few steps, one column a block."""

    def __init__(self) -> None:
        self.total_steps = 1
        self.loss: float | None = None
        self.task: str | None = None
        self._headed = False

    def of(self, event: Mapping[str, Any]) -> list[str]:
        """The lines that an event is worth; most are worth none."""
        kind = event["kind"]
        if kind == "stage":
            self.total_steps = event["total_steps"]
        elif kind == "step":
            self.loss = event["loss"]
        elif kind == "mixture" and self._is_due(event):
            heading = [*self._heading(event), *self._task(event.get("task"))]
            return [*heading, self._row(event["step"], event["weights"])]
        elif kind == "fit":
            share = event["router_accuracy"]
            return [f"router fitted: it names the better component at {share:.1%} of the tokens"]
        elif kind == "eval" and "task" in event:
            task, accuracy = short_task(event["task"]), event["metrics"]["accuracy"]
            return [f"{event['step']:>6}  accuracy on {task} {accuracy:.1%}"]
        elif kind == "eval" and event["metrics"]["perplexity"] is not None:
            return [f"{event['step']:>6}  held-out perplexity {event['metrics']['perplexity']:.3f}"]
        return []

    def _is_due(self, event: Mapping[str, Any]) -> bool:
        step = event["step"]
        if event.get("task") != self.task:
            return True
        return step % max(1, self.total_steps // LINES) == 0 or step == self.total_steps

    def _heading(self, event: Mapping[str, Any]) -> list[str]:
        if self._headed:
            return []
        self._headed = True
        names = " / ".join(short_names(event["components"]))
        width = len(_cell(event["weights"][0]))
        blocks = "  ".join(f"block {b}".rjust(width) for b in range(1, len(event["weights"]) + 1))
        return [f"mixture weights of {names}", f"{'step':>6}  {'loss':>7}  {blocks}"]

    def _task(self, task: str | None) -> list[str]:
        if task is None or task == self.task:
            return []
        # The loss is that of another task.
        self.task, self.loss = task, None
        return [f"{short_task(task)}:"]

    def _row(self, step: int, alpha: Sequence[Sequence[float]]) -> str:
        loss = "" if self.loss is None else f"{self.loss:.3f}"
        return f"{step:>6}  {loss:>7}  " + "  ".join(_cell(row).rjust(7) for row in alpha)


def _cell(row: Sequence[float]) -> str:
    return "/".join(f"{weight:.3f}" for weight in row)

"""A run that moves in a notebook's output, from a thread that only reads the run's folder.

The cell returns at once, and later cells can be run meanwhile: the run is a process of its own.
"""

import threading
from pathlib import Path

from IPython import get_ipython

from manticore.runs import Run
from manticore.views.notebook.outputs import Outputs, make_outputs
from manticore.views.notebook.picture import Picture, picture_of

TICK = 0.5
"""Seconds between looks: a look takes some 50 ms of a core, which the run may need."""

_watched: dict[Path, "LiveView"] = {}
"""The view that follows each run, by the run's folder."""


class LiveView:
    """Status, warnings, mixture weights, loss, perplexity or accuracy, and last sample of a run.

    Of the views of one run only the newest moves; the one before shows its last picture.

    Args:
        run: The run, running or ended.
        outputs: Where it is shown; outputs of the cell that is being run if None.
    """

    def __init__(self, run: Run, outputs: Outputs | None = None) -> None:
        self.run = run
        self._cell = _current_cell()
        self._outputs = outputs or make_outputs(moving=run.is_alive)
        # Before the picture: what comes in between is drawn at the next look.
        self._seen = self._mark()
        self.picture: Picture = picture_of(run)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"watch {run.id}", daemon=True)

    def start(self) -> "LiveView":
        """Show the run in the cell that is being run, and follow it until it ends."""
        if (earlier := _watched.get(self.run.folder)) is not None:
            earlier.stop_watching()
        _watched[self.run.folder] = self
        self._outputs.draw(self.picture)
        self._thread.start()
        return self

    def stop_watching(self) -> None:
        """Stop following the run, which continues; what is shown stays as it is."""
        self._left.set()
        self._thread.join()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run has ended and its end is shown.

        Args:
            timeout: Seconds; None waits for ever.
        """
        self._thread.join(timeout)

    def _ipython_display_(self) -> None:
        """What IPython does with the last value of a cell: in its own cell it is shown already."""
        if self._cell is None or self._cell != _current_cell():
            watch(self.run)

    def _follow(self) -> None:
        alive = True
        while alive and not self._left.is_set():
            # Read before looking, so that the last look comes after the run's last event.
            alive = self.run.is_alive
            if (mark := self._mark()) != self._seen:
                self._seen = mark
                picture = picture_of(self.run)
                self._outputs.draw(picture)
                # Only then: whoever waits for a picture finds it in the output.
                self.picture = picture
            if alive:
                self._left.wait(TICK)
        self._outputs.finish(self.picture)
        if _watched.get(self.run.folder) is self:
            del _watched[self.run.folder]

    def _mark(self) -> tuple[int, str]:
        """What changes with everything that is new of the run."""
        return self.run.count_events(), self.run.status.state


def watch(run: Run) -> LiveView:
    """Show a run in the current cell's output, live, and return at once.

    Args:
        run: The run, running or ended.
    """
    return LiveView(run).start()


def _current_cell() -> int | None:
    """The number of the cell that is being run; None outside of IPython."""
    shell = get_ipython()
    return None if shell is None else shell.execution_count

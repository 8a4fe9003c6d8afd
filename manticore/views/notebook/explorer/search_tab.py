"""The tab that starts a search and shows the run, live."""

import html
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ipywidgets

from manticore.config.search import AWAITED_SEQUENCES
from manticore.names import STRATEGIES
from manticore.runs import Run
from manticore.views.catalogue import TEXTS
from manticore.views.diagram.scene import TEXT
from manticore.views.notebook.live import LiveView
from manticore.views.notebook.picture import Picture
from manticore.views.notebook.run_widget import RunWidget

if TYPE_CHECKING:
    from manticore.views.notebook.explorer.cell import Explorer


class SearchTab(ipywidgets.VBox):
    """Text, strategy and steps; the run's figures, which move while it works.

    Args:
        explorer: The explorer that it belongs to.
    """

    def __init__(self, explorer: "Explorer") -> None:
        self._explorer = explorer
        self._view: LiveView | None = None
        self.text = ipywidgets.Combobox(
            value=TEXT, options=[source for _, source in TEXTS], description="Text"
        )
        self.strategy = ipywidgets.Dropdown(
            options=list(STRATEGIES), value="routed", description="Strategy"
        )
        self.steps = ipywidgets.IntSlider(40, 5, 500, 5, description="Steps")
        self._about = ipywidgets.HTML()
        self.begin = ipywidgets.Button(description="Start", button_style="primary")
        self.stop = ipywidgets.Button(description="Stop", disabled=True)
        self._place = ipywidgets.VBox()
        self.strategy.observe(lambda _: self._tell(), "value")
        self.begin.on_click(lambda _: self.search())
        self.stop.on_click(lambda _: self._stop())
        form = [self.text, self.strategy, self.steps]
        super().__init__(
            [
                ipywidgets.HBox(form, layout=ipywidgets.Layout(flex_flow="row wrap")),
                self._about,
                ipywidgets.HBox([self.begin, self.stop]),
                self._place,
            ]
        )
        self._tell()

    def search(self) -> None:
        """Start the search that the tab describes; what is wrong is told."""
        options: dict[str, Any] = {"eval_every": max(1, self.steps.value // 5)}
        if self._strategy == "routed":
            options["router"] = {"fit_sequences": AWAITED_SEQUENCES}
        with suppress(ValueError, OSError):  # which the explorer has told
            self._explorer.search(self.text.value, self._strategy, self.steps.value, **options)

    @property
    def _strategy(self) -> str:
        return str(self.strategy.value)

    def follow(self, run: Run) -> None:
        """Show a run until it ends, and then its hybrid.

        Args:
            run: The run, running or ended.
        """
        if self._view is not None:
            self._view.stop_watching()
        shown = _Shown(self, run)
        self._place.children = [shown.widget]
        self.running(run.is_alive)
        self._view = LiveView(run, shown).start()
        if not run.is_alive:
            self._view.wait()

    def running(self, runs: bool) -> None:
        """Have the buttons fit: one run at a time, as two share the cores.

        Args:
            runs: Whether a run is at work.
        """
        self.stop.disabled = not runs
        self.begin.disabled = self._explorer.program_tab.begin.disabled = runs

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run that is shown has ended, and its hybrid is there.

        Args:
            timeout: Seconds; None waits for ever.
        """
        if self._view is not None:
            self._view.wait(timeout)

    def _stop(self) -> None:
        if self._explorer.run is not None:
            self._explorer.run.stop()

    def _tell(self) -> None:
        self._about.value = f"<i>{html.escape(STRATEGIES[self._strategy].about)}</i>"


class _Shown:
    """Where the pictures of a run go: the figures of the tab, and the diagram above all tabs."""

    def __init__(self, tab: SearchTab, run: Run) -> None:
        self.tab, self.run, self.widget = tab, run, RunWidget()

    def draw(self, picture: Picture) -> None:
        """Show `picture`."""
        self.widget.draw(picture)
        if self.run.is_alive:
            self.tab._explorer.show_run(self.run)

    def finish(self, picture: Picture) -> None:
        """Show the last picture, and the run's hybrid in the diagram."""
        self.widget.draw(picture)
        self.tab.running(False)
        self.tab._explorer.end_run(self.run)

"""The outputs of a cell that shows a run.

A saved notebook is to show the last picture without a kernel, and without one nothing is left of a
widget. So a cell has plain outputs: words, one for each figure, and the sample; front ends draw
those by themselves. VS Code and Colab draw them again whenever they change. JupyterLab draws the
figure of an output once and never again (with plotly 7.1): there a widget is shown while the run
moves, and the plain outputs take its place when the run has ended.
"""

import html
import re
from importlib.util import find_spec
from typing import Any, Protocol

import plotly.graph_objects as go
import plotly.io
from IPython.display import DisplayHandle

from manticore.views.notebook.picture import Picture

MIMETYPE = "application/vnd.plotly.v1+json"

Bundle = dict[str, Any]
"""Data of an output by MIME type; where it is empty, the output is there and shows nothing."""


class Outputs(Protocol):
    """Where a picture is shown."""

    def draw(self, picture: Picture) -> None:
        """Show `picture`; the first call adds the outputs to the cell that is being run."""

    def finish(self, picture: Picture) -> None:
        """Show the last picture, such that it stays in a saved notebook."""


def make_outputs(moving: bool) -> Outputs:
    """Outputs for the front end of this kernel.

    A widget needs its script: JupyterLab and Notebook 7 have it from the package anywidget, while
    other front ends may fetch it from a network. Plotly tells the front ends apart.

    Args:
        moving: Whether the picture will change.
    """
    is_jupyter = plotly.io.renderers.default == "plotly_mimetype"
    return WidgetOutputs() if moving and is_jupyter and find_spec("anywidget") else PlainOutputs()


class PlainOutputs:
    """Words, figures and sample, each an output that is replaced when it changes."""

    def __init__(self) -> None:
        self._handles: dict[str, DisplayHandle] = {}
        self._shown: dict[str, Bundle] = {}

    def draw(self, picture: Picture) -> None:
        """Show `picture`; the first call adds the outputs to the cell that is being run."""
        self._show(_bundles(picture))

    def finish(self, picture: Picture) -> None:
        """Show the last picture."""
        self.draw(picture)

    def reserve(self, picture: Picture) -> None:
        """Add the outputs to the cell that is being run, without anything in them."""
        self._show({name: {} for name in _bundles(picture)})

    def _show(self, bundles: dict[str, Bundle]) -> None:
        for name, bundle in bundles.items():
            if name not in self._handles:
                self._handles[name] = DisplayHandle()
                self._handles[name].display(bundle, raw=True)
            elif self._shown[name] != bundle:
                self._handles[name].update(bundle, raw=True)
            self._shown[name] = bundle


class WidgetOutputs:
    """A widget while the run moves, and plain outputs in its place after that."""

    def __init__(self) -> None:
        # Here, because a front end that takes no widgets may come without the package.
        from manticore.views.notebook.run_widget import RunWidget

        self.widget = RunWidget()
        self._place = DisplayHandle()
        self._plain = PlainOutputs()
        self._is_shown = False

    def draw(self, picture: Picture) -> None:
        """Show `picture`; the first call adds the outputs to the cell that is being run."""
        self.widget.draw(picture)
        if not self._is_shown:
            self._is_shown = True
            self._place.display(_view_of(self.widget.model_id), raw=True)
            self._plain.reserve(picture)

    def finish(self, picture: Picture) -> None:
        """Put plain outputs in the place of the widget."""
        self._place.update({}, raw=True)
        self._plain.draw(picture)
        self.widget.close()


def _view_of(model_id: str | None) -> Bundle:
    view = {"version_major": 2, "version_minor": 0, "model_id": model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/plain": "A run, live"}


def _bundles(picture: Picture) -> dict[str, Bundle]:
    """The plain outputs by name, in their order."""
    return {
        "status of the run": _words(picture.status),
        **{panel.name: _bundle(panel.figure) for panel in picture.panels},
        "sample of the run": _words(picture.sample),
    }


def _bundle(figure: go.Figure | str | None) -> Bundle:
    if figure is None or isinstance(figure, str):
        return _words(figure or "")
    # Plotly knows in which form the front end takes figures.
    return figure._repr_mimebundle_()


def _words(markup: str) -> Bundle:
    if not markup:
        return {}
    lines = re.sub("</div>|<[^>]*>", lambda tag: "\n" * (tag[0] == "</div>"), markup)
    return {"text/html": markup, "text/plain": html.unescape(lines).strip()}

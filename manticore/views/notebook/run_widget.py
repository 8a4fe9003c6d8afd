"""The widget that draws a run in JupyterLab and Notebook 7."""

import traitlets
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from manticore.views.notebook.picture import Picture
from manticore.views.notebook.widget import Widget, own_source


class RunWidget(Widget):
    """A picture on the screen, drawn again whenever it changes.

    plotly.js travels with the widget, as the package plotly holds it: nothing is fetched from a
    network, and a page that was reloaded does not wait for a kernel that is busy.
    """

    _esm = own_source("run_widget.js")
    status = traitlets.Unicode().tag(sync=True)
    sample = traitlets.Unicode().tag(sync=True)
    panels = traitlets.List(traitlets.Dict()).tag(sync=True)
    plotly_js = traitlets.Unicode().tag(sync=True)
    plotly_version = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(plotly_js=get_plotlyjs(), plotly_version=get_plotlyjs_version())

    def describe(self) -> str:
        """The widget in a line."""
        return "A run, live"

    def draw(self, picture: Picture) -> None:
        """Show `picture`."""
        with self.hold_sync():
            self.status = picture.status
            self.sample = picture.sample
            self.panels = [panel.as_json() for panel in picture.panels]

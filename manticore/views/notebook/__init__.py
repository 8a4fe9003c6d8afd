"""Runs in a Jupyter notebook."""

from manticore.extras import require

require("The live view in a notebook", "IPython", "anywidget", "ipywidgets")

from manticore.views.notebook.live import LiveView, watch  # noqa: E402  it needs what is required

__all__ = ["LiveView", "watch"]

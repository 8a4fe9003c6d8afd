"""Runs in a Jupyter notebook."""

from manticore.views.notebook.live import LiveView, watch

__all__ = ["LiveView", "watch"]

"""Runs in a Jupyter notebook."""

from manticore.widgets.live import LiveView, watch

__all__ = ["LiveView", "watch"]

"""An earlier place of `continue_text`, kept for code that imports it from here."""

from manticore.hybrid.streaming import continue_text

__all__ = ["continue_text"]

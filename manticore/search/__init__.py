"""Search strategies: one class each."""

from manticore.config.search import SearchConfig

__all__ = ["SearchConfig"]

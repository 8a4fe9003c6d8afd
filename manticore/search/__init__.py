"""Search strategies: one class each."""

from manticore.search.config import SearchConfig

__all__ = ["SearchConfig"]

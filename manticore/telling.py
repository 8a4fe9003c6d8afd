"""One line in a notebook that says what takes seconds, and afterwards how long it took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SHORT = 0.7
"""Seconds below which nothing stays in the output: nobody has waited."""


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Say what happens while it happens, where a person waits for a cell; elsewhere say nothing.

    Args:
        what: What happens, such as `Building the hybrid`.
    """
    handle = _line(f"{what} …") if _is_notebook() else None
    began = time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - began
        if handle is not None:
            done = {} if seconds < SHORT else {"text/plain": f"{what}: {seconds:.1f} s"}
            handle.update(done, raw=True)


def _is_notebook() -> bool:
    """Whether a Jupyter kernel runs this. IPython is imported there, and nowhere by us."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def _line(text: str) -> Any:
    from IPython.display import DisplayHandle

    handle = DisplayHandle()
    handle.display({"text/plain": text}, raw=True)
    return handle

"""Importing what is large: torch, Transformers and what needs them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collecting() -> Iterator[None]:
    """Import inside, without garbage collection: it takes a sixth of the time and finds little.

    What modules define stays, and the collector would look through it again and again.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()

"""Ctrl-C that waits until what is under way has been saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SAVED = "saved"
"""Argument of a `KeyboardInterrupt` after which nothing is lost."""


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Remember a first Ctrl-C instead of raising it; a second one is raised at once.

    Outside the main thread, which alone can be interrupted, nothing changes.

    Yields:
        A function that says whether Ctrl-C was pressed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = False

    def remember(signum: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)

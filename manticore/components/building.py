"""Models are built and saved by one thread at a time, and without progress bars.

While Transformers builds or loads a model it replaces functions that all threads share, among them
the one that ties weights. Two threads that do it at once can leave the replacement in place for
good: from then on every hybrid of the process lacks its tied heads.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers.utils import logging

_P = ParamSpec("_P")
_T = TypeVar("_T")

# A hybrid that is loaded builds its components meanwhile, in the same thread.
_building = threading.RLock()


def one_at_a_time(build: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let only one thread at a time build, load or save a model.

    Args:
        build: Function that does so.
    """

    @functools.wraps(build)
    def alone(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with _building, _without_bars():
            return build(*args, **kwargs)

    return alone


@contextmanager
def _without_bars() -> Iterator[None]:
    """Only downloads show bars: in a notebook others would stay, and loading takes a second."""
    downloads = not are_progress_bars_disabled()
    if not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    if downloads:  # Transformers has turned them off as well
        enable_progress_bars()
    try:
        yield
    finally:
        logging.enable_progress_bar()

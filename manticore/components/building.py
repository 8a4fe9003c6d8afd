"""Models are built by one thread at a time.

While Transformers builds or loads a model it replaces functions that all threads share, among them
the one that ties weights. Two threads that do it at once can leave the replacement in place for
good: from then on every hybrid of the process lacks its tied heads.
"""

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# A hybrid that is loaded builds its components meanwhile, in the same thread.
_building = threading.RLock()


def one_at_a_time(build: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let only one thread at a time build or load a model.

    Args:
        build: Function that builds or loads one.
    """

    @functools.wraps(build)
    def alone(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with _building:
            return build(*args, **kwargs)

    return alone

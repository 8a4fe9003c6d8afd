"""What the page shows of a run, made once for all who look at it."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from manticore.runs import Run

T = TypeVar("T")
KEPT = 32
"""Runs of which the newest picture is kept."""


class Shared(Generic[T]):
    """The newest picture of each run, made again when somebody looks and it is no longer fresh.

    Args:
        make: Makes the picture of a run, given the one before, if any.
        fresh_for: Seconds in which a picture is shown again as it is.
    """

    def __init__(self, make: Callable[[Run, T | None], T], fresh_for: float = 0.0) -> None:
        self._make, self._fresh_for = make, fresh_for
        self._newest: OrderedDict[str, tuple[float, T]] = OrderedDict()
        # Pages are answered in threads: those that come while one makes a picture wait for it.
        self._making = threading.Lock()

    def of(self, run: Run) -> T:
        """The picture of a run.

        Args:
            run: The run.
        """
        key = str(run.folder)
        with self._making:
            made, picture = self._newest.pop(key, (None, None))
            if picture is None or made is None or time.monotonic() - made >= self._fresh_for:
                picture = self._make(run, picture)
                made = time.monotonic()
            self._newest[key] = (made, picture)
            if len(self._newest) > KEPT:
                self._newest.popitem(last=False)
        return picture

"""Flags that end what is being written for a visitor, on the server and not only on the page."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

HYBRID = "hybrid"
COMPONENTS = "components"


class Flag(threading.Event):
    """Set when the writing is to end; it is looked at after every token."""

    is_dropped = False
    """Whether nobody wants what has been written until then either."""


class Stops:
    """The flag of everything that is being written: at most one of a kind for each visitor."""

    def __init__(self) -> None:
        self._flags: dict[tuple[str, str], Flag] = {}
        self._changing = threading.Lock()

    @contextmanager
    def writing(self, visitor: str, what: str) -> Iterator[Flag]:
        """A flag for as long as something is written; it takes the place of an earlier one.

        Args:
            visitor: Session of the visitor.
            what: `HYBRID` or `COMPONENTS`.
        """
        flag = Flag()
        self.stop(visitor, what, drop=True)
        with self._changing:
            self._flags[visitor, what] = flag
        try:
            yield flag
        finally:
            with self._changing:
                if self._flags.get((visitor, what)) is flag:
                    del self._flags[visitor, what]

    def stop(self, visitor: str, what: str, *, drop: bool = False) -> None:
        """End what is being written, if anything is.

        Args:
            visitor: Session of the visitor.
            what: `HYBRID` or `COMPONENTS`.
            drop: Whether what has been written until then is not wanted either.
        """
        with self._changing:
            flag = self._flags.get((visitor, what))
        if flag is not None:
            flag.is_dropped = flag.is_dropped or drop
            flag.set()

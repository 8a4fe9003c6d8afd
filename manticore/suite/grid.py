"""A grid of trials that can be interrupted: the MAD suite, sweeps and benchmarks all use it.

A trial is one point of a grid. `Grid` keeps the result of each finished trial, by an id that is a
digest of everything that decides it, so that no trial is done twice. `run_groups` does trials, one
after the other or several at a time, with whatever starts them.
"""

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout

T = TypeVar("T")
R = TypeVar("R")
_TICK = 0.2
"""Seconds between calls of `should_stop`."""

log = logging.getLogger(__name__)


class Grid:
    """Results of finished trials: one JSON object with an `id` per line of a file.

    One process at a time writes to it, from `with` to its end. A last line that was cut short, as
    by a kill, is removed; a damaged line elsewhere is skipped.

    Args:
        path: File of the results; its folder is made if it is missing.
        fields: Names that a result must have in addition to its `id` to count as whole.
        allow_nan: Write numbers that are not finite as Python reads them; JSON has none.
    """

    def __init__(self, path: Path, fields: Iterable[str] = (), *, allow_nan: bool = False) -> None:
        self.path, self._allow_nan = path, allow_nan
        self._fields = {"id", *fields}
        self._results: dict[str, dict[str, Any]] = {}
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))

    @property
    def results(self) -> Mapping[str, dict[str, Any]]:
        """Results by id."""
        return self._results

    def __enter__(self) -> Self:
        """Lock and read the file.

        Raises:
            BlockingIOError: Another process is writing to it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise BlockingIOError(
                f"Another process is at work on {self.path}: wait for it, or choose another folder."
            ) from error
        self._results = self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()
        if not self.path.exists():
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def add(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Append a result, wait until the disk has it, and return it as JSON has it.

        Raises:
            OSError: It could not be written, as on a full disk; a part of it is taken back.
            ValueError: A number is not finite, and `allow_nan` is off.
        """
        line = json.dumps(result, allow_nan=self._allow_nan) + "\n"
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            if self.path.exists():
                os.truncate(self.path, size)
            raise
        self._results[result["id"]] = json.loads(line)
        return self._results[result["id"]]

    def forget(self) -> None:
        """Remove the file: its results are kept elsewhere."""
        self.path.unlink(missing_ok=True)
        self._results = {}

    def _read(self) -> dict[str, dict[str, Any]]:
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            log.warning("%s: removed a torn last line of %d bytes", self.path, len(data) - whole)
            os.truncate(self.path, whole)
        results = {}
        for line in data[:whole].splitlines():
            result = self._parse(line)
            if result is None:
                log.warning("%s: skipped a damaged line: %.80r", self.path, line)
            else:
                results[result["id"]] = result
        return results

    def _parse(self, line: bytes) -> dict[str, Any] | None:
        try:
            result = json.loads(line)
        except ValueError:
            return None
        return result if isinstance(result, dict) and self._fields <= result.keys() else None


def run_groups(
    groups: Iterable[Sequence[T]],
    start: Callable[[T], "Future[R]"],
    over: Callable[[T, "Future[R]"], bool],
    at_once: int = 1,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Do the trials of several groups: each group's in their order, several groups at a time.

    Args:
        groups: Trials; those that do not depend on each other are groups of one.
        start: Starts a trial and returns at once, as an executor's `submit` does; or does it, and
            returns a future that is done.
        over: Called with each trial that has ended and its future. True where the rest of its group
            is not needed any more.
        at_once: Groups at a time.
        should_stop: Called a few times a second; after True nothing more is started.

    Returns:
        Whether all trials came to their end; False if it was stopped before. Nothing is under way
        any more in either case.
    """
    waiting = deque(deque(group) for group in groups)
    running: dict[Future[R], tuple[T, deque[T]]] = {}
    stopped = False
    while running or (waiting and not stopped):
        while waiting and not stopped and len(running) < at_once:
            group = waiting.popleft()
            trial = group.popleft()
            running[start(trial)] = trial, group
        ended, _ = wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
        for future in ended:
            trial, rest = running.pop(future)
            if not over(trial, future) and rest:
                waiting.appendleft(rest)
        stopped = stopped or should_stop()
    return not stopped

"""The events of a run as pictures need them: of what a long run repeats, a part.

A run of 100,000 steps writes 50 MB of events, and a figure shows some thousand points. So what is
written again and again is thinned as it is read: when a kind has too many events, every second one
is forgotten, and from then on every second one is left out. Lines are parsed only when somebody
wants the events: a list of many runs asks for the newest of each kind.
"""

import os
import re
import threading
from pathlib import Path
from typing import Any

from manticore.store.events import EVENTS_FILE, parse_event, read_lines

MOST = {"step": 2048, "mixture": 2048, "eval": 512, "probe": 16, "sample": 16}
"""Events that are kept, at most, of the kinds that a run writes for as long as it lasts: more than
any figure has points, and few of those of which the newest is shown. Of others all are kept."""

_KIND = re.compile(rb'"kind": ?"(\w+)"(?:, ?"task": ?"([^"]*)")?')
_TIME = re.compile(rb'"time": ?([\d.]+)')


class ThinnedEvents:
    """The events of a run's folder, thinned, read further at every look.

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._reading = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._offset = self._count = 0
        self._at_work = 0.0
        self._time: float | None = None
        self._kinds: dict[tuple[str, bytes], _Kind] = {}

    def read(self) -> tuple[list[dict[str, Any]], int]:
        """The events that are kept, oldest first, and how many there are in all.

        The first and the newest of a kind, and of each task, are always among them.
        """
        with self._reading:
            self._go_on()
            lines = [line for kind in self._kinds.values() for line in kind.lines()]
            lines.sort(key=lambda line: line.number)
            events = (line.event(self._folder) for line in lines)
            return [event for event in events if event is not None], self._count

    def count(self) -> int:
        """How many events there are in all: what looks at a run wait for, without reading them."""
        with self._reading:
            self._go_on()
            return self._count

    def newest(self) -> dict[str, dict[str, Any]]:
        """The newest event of each kind."""
        with self._reading:
            self._go_on()
            lines: dict[str, list[_Line]] = {}
            for (name, _), kind in self._kinds.items():
                lines.setdefault(name, []).extend(kind.lines())
            newest = {name: _newest(of_kind, self._folder) for name, of_kind in lines.items()}
            return {name: event for name, event in newest.items() if event is not None}

    def seconds(self) -> float | None:
        """The time between events, without that before a new beginning; None before the first."""
        with self._reading:
            self._go_on()
            return self._at_work if self._count else None

    def _go_on(self) -> None:
        path = self._folder / EVENTS_FILE
        if self._offset and (not path.exists() or path.stat().st_size < self._offset):
            self._start()
        lines, self._offset = read_lines(self._folder, self._offset)
        for raw in lines:
            self._count += 1
            found = _KIND.search(raw)
            name = found[1].decode() if found else ""
            written = _TIME.search(raw)
            if written:
                now = float(written[1])
                if name != "stage" and self._time is not None:
                    self._at_work += max(0.0, now - self._time)
                self._time = now
            if name == "stage":
                for kind in self._kinds.values():
                    kind.resumed = True
            task = (found[2] if found else None) or b""
            kind = self._kinds.setdefault((name, task), _Kind(MOST.get(name)))
            kind.take(_Line(self._count, raw), self._folder)


class _Line:
    """One line of a stream, parsed when it is first wanted.

    Attributes:
        number: Its number among all lines.
    """

    __slots__ = ("_event", "_raw", "number")

    def __init__(self, number: int, raw: bytes) -> None:
        self.number = number
        self._raw: bytes | None = raw
        self._event: dict[str, Any] | None = None

    def event(self, folder: Path) -> dict[str, Any] | None:
        """The event; None where the line is damaged."""
        if self._raw is not None:
            self._event, self._raw = parse_event(self._raw, folder), None
        return self._event


class _Kind:
    """The lines of one kind of events, of a run or of one task.

    Args:
        most: How many are kept, at most; None for all.

    Attributes:
        resumed: Whether the run has been resumed since the last event: it may repeat steps, and
            what followed them before has led to nothing.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._kept: list[_Line] = []
        self._stride, self._seen = 1, 0
        self._last: _Line | None = None
        self.resumed = False

    def take(self, line: _Line, folder: Path) -> None:
        """Keep a line, or leave it out as soon as there is a newer one.

        Args:
            line: The line.
            folder: Folder of the run.
        """
        wanted = self._seen % self._stride == 0
        self._seen += 1
        if self.resumed and self._most is not None:
            wanted, self.resumed = True, False
            self._forget_after(line, folder)
        self._last = None if wanted else line
        if not wanted:
            return
        self._kept.append(line)
        if self._most is not None and len(self._kept) > self._most:
            self._kept = self._kept[::2]
            self._stride *= 2

    def _forget_after(self, line: _Line, folder: Path) -> None:
        step = (line.event(folder) or {}).get("step")
        if step is not None:
            self._kept = [
                kept for kept in self._kept if (kept.event(folder) or {}).get("step", 0) < step
            ]

    def lines(self) -> list[_Line]:
        """Those that are kept, and the newest."""
        return self._kept if self._last is None else [*self._kept, self._last]


def _newest(lines: list[_Line], folder: Path) -> dict[str, Any] | None:
    """The newest event that is not damaged."""
    lines = sorted(lines, key=lambda line: line.number, reverse=True)
    events = (line.event(folder) for line in lines)
    return next((event for event in events if event is not None), None)

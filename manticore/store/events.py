"""The event stream of a run: one append-only `events.jsonl`.

The worker writes it, and everything that shows a run reads it.
One event is one line of JSON with `time` (seconds since the epoch), `kind` and the kind's own
fields. A line goes out in a single `os.write`, so a reader sees whole lines or, at the very end of
the file, a torn one: the part of a line that a killed process or a full disk left behind. Readers
leave a torn line alone, and the next `EventWriter` on the folder repairs it before it writes, so a
resumed worker never glues its first event to it.

JSON has no NaN and no infinity: every non-finite number is written as `null`, and read back as
None.
"""

import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from manticore.store.disk import DiskFullError, disk_is_full

log = logging.getLogger(__name__)

EVENTS_FILE = "events.jsonl"

Event = Mapping[str, Any]
"""`time`, `kind` and the kind's own fields."""

# Fields that each kind must have. More are welcome; fewer, or an unknown kind, are a mistake of the
# caller.
EVENT_FIELDS: dict[str, frozenset[str]] = {
    "stage": frozenset({"name", "total_steps"}),
    "hybrid": frozenset({"n_blocks", "components"}),
    "step": frozenset({"step", "loss", "lr"}),
    "mixture": frozenset({"step", "weights", "components"}),
    "eval": frozenset({"step", "metrics"}),
    "sample": frozenset({"step", "text", "prompt"}),
    "fit": frozenset(),
    "probe": frozenset({"step", "tokens", "weights", "components"}),
    "warning": frozenset({"message"}),
    "done": frozenset(),
    "failed": frozenset({"cause"}),
}
EVENT_KINDS: tuple[str, ...] = tuple(EVENT_FIELDS)

# The end of a run must survive a power cut; a lost step event would only thin a curve.
_SYNCED_KINDS = frozenset({"done", "failed"})


class Events(Protocol):
    """Where a run's events go, whoever writes them and whatever happens to them on the way."""

    @property
    def earlier(self) -> Sequence[Event]:
        """Events that earlier workers of the run have written, oldest first."""
        ...

    def emit(self, kind: str, **fields: Any) -> None:
        """Write one event; see `EventWriter.emit`."""
        ...


class EventWriter:
    """Appends events to `folder/events.jsonl`, repairing a torn last line on opening.

    One writer per folder at a time (the worker holds the run's lock); its methods may be called
    from several threads. Use it as a context manager, or call `close()`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open the stream of a folder.

        Args:
            folder: Folder of the run; it must exist.

        Raises:
            FileNotFoundError: `folder` does not exist.
            OSError: The file cannot be opened for writing.
        """
        self.path = Path(folder) / EVENTS_FILE
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"There is no run folder {self.path.parent}: create it before you open its events."
            )
        self._lock = threading.Lock()
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._repair()
        # Read once: who works on the run must not read the growing file again and again.
        self.earlier: Sequence[Event] = read_events(folder)[0] if os.fstat(self._fd).st_size else []

    def emit(self, kind: str, **fields: Any) -> None:
        """Write one event.

        Tensors and arrays become nested lists, paths become strings, non-finite numbers become
        null.

        Args:
            kind: One of `EVENT_KINDS`.
            fields: Fields of the kind (see `EVENT_FIELDS`) and any others that JSON can hold.

        Raises:
            ValueError: An unknown kind, a missing field, a field with a reserved name, or a closed
                writer.
            TypeError: A field that JSON cannot hold.
            DiskFullError: The disk is full; nothing of the line stays in the file.
            OSError: The line could not be written.
        """
        _check(kind, fields)
        event = {"time": time.time(), "kind": kind, **fields}
        line = json.dumps(_plain(event), ensure_ascii=False, allow_nan=False) + "\n"
        # A lone surrogate (half a character out of a tokenizer) has no UTF-8 form.
        data = line.encode("utf-8", errors="replace")
        with self._lock:
            if self._fd < 0:
                raise ValueError(f"The event stream {self.path} is closed: open a new EventWriter.")
            self._write(kind, data)
            if kind in _SYNCED_KINDS:
                os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, kind: str, data: bytes) -> None:
        start = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            if disk_is_full(error):
                raise DiskFullError(self.path) from error
            raise OSError(
                error.errno, f"The event {kind!r} was not written: {error.strerror}", str(self.path)
            ) from error
        if written < len(data):
            # The disk filled up in the middle of the line: take the half line back, so the file
            # stays whole.
            os.ftruncate(self._fd, start)
            raise DiskFullError(self.path)

    def _repair(self) -> None:
        size = os.fstat(self._fd).st_size
        tail_start = _after_last_newline(self.path, size)
        if tail_start == size:
            return
        with self.path.open("rb") as file:
            file.seek(tail_start)
            tail = file.read(size - tail_start)
        if _parse(tail) is not None:
            os.write(self._fd, b"\n")
            log.warning("%s: the last event lacked its line end; added", self.path)
        else:
            os.ftruncate(self._fd, tail_start)
            log.warning("%s: removed a torn last event of %d bytes", self.path, len(tail))


class SilentEvents:
    """Stands for an `EventWriter` on all processes of a run but the first: it writes nothing.

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.earlier: Sequence[Event] = read_events(folder)[0]

    def emit(self, kind: str, **fields: Any) -> None:
        """Check the event and drop it."""
        _check(kind, fields)


def read_events(
    folder: str | os.PathLike[str], since_offset: int = 0
) -> tuple[list[dict[str, Any]], int]:
    """Read the events of a run that follow a byte offset.

    A torn last line is not consumed: it is read once it is whole. A damaged line in the middle is
    skipped and logged. A folder without a stream has no events.

    Args:
        folder: Folder of the run.
        since_offset: Bytes already read, as returned by an earlier call; 0 reads from the start. So
            does an offset beyond the end, where the stream was replaced by a shorter one.

    Returns:
        The events in the order they were written, and the offset to pass next time.

    Raises:
        ValueError: `since_offset` is negative.
    """
    lines, offset = read_lines(folder, since_offset)
    parsed = (parse_event(line, folder) for line in lines)
    return [event for event in parsed if event is not None], offset


def read_lines(folder: str | os.PathLike[str], since_offset: int = 0) -> tuple[list[bytes], int]:
    """The lines of a run's events that follow a byte offset, as `read_events` reads them.

    Args:
        folder: Folder of the run.
        since_offset: As for `read_events`.

    Returns:
        The whole lines, not parsed, and the offset to pass next time.

    Raises:
        ValueError: `since_offset` is negative.
    """
    if since_offset < 0:
        raise ValueError(
            f"since_offset is {since_offset}: give 0, or an offset that an earlier call returned."
        )
    try:
        with (Path(folder) / EVENTS_FILE).open("rb") as file:
            if since_offset > os.fstat(file.fileno()).st_size:
                since_offset = 0
            file.seek(since_offset)
            data = file.read()
    except FileNotFoundError:
        return [], 0
    whole = data[: data.rfind(b"\n") + 1]
    return whole.splitlines(), since_offset + len(whole)


def parse_event(line: bytes, folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The event of a line; None, with a logged warning, where the line is damaged.

    Args:
        line: One line of a stream.
        folder: Folder of the run, which the warning names.
    """
    event = _parse(line)
    if event is None:
        log.warning("%s: skipped a damaged event: %.80r", Path(folder) / EVENTS_FILE, line)
    return event


def is_done(events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a run came to its end: nothing is left to do, whatever its status says.

    Args:
        events: All events of the run.
    """
    return any(event["kind"] == "done" for event in events)


def last_per_step(events: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The events of one kind with a `step`, ordered by step, each step once: its last occurrence.

    A worker that was killed and resumed repeats the steps after its checkpoint, and the repeated
    ones are those that led to the result.

    Args:
        events: Events of a run.
        kind: Kind of events.
    """
    latest = {event["step"]: event for event in events if event["kind"] == kind and "step" in event}
    return [latest[step] for step in sorted(latest)]


def last_per_step_by_task(
    events: Iterable[Mapping[str, Any]], kind: str
) -> dict[str, list[Mapping[str, Any]]]:
    """`last_per_step` of each task of a run, in the order in which the tasks begin.

    Where one task ends the next begins, at the same step of the run; a run without tasks has all
    under "".

    Args:
        events: Events of a run.
        kind: Kind of events.
    """
    of_task: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        if event["kind"] == kind:
            of_task.setdefault(event.get("task", ""), []).append(event)
    return {task: last_per_step(own, kind) for task, own in of_task.items()}


def _check(kind: str, fields: Mapping[str, Any]) -> None:
    if kind not in EVENT_FIELDS:
        raise ValueError(f"There is no event kind {kind!r}: use one of {', '.join(EVENT_KINDS)}.")
    missing = EVENT_FIELDS[kind] - fields.keys()
    if missing:
        raise ValueError(
            f"The event {kind!r} lacks {', '.join(sorted(missing))}: give these fields too."
        )
    if "time" in fields:
        raise ValueError("The field 'time' is set by the writer: give yours another name.")


def _plain(value: Any) -> Any:
    """`value` in JSON's own types, non-finite numbers as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and event.get("kind") in EVENT_FIELDS else None


def _after_last_newline(path: Path, size: int, chunk: int = 65536) -> int:
    """Offset just after the last newline within the first `size` bytes; 0 if there is none."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - chunk)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0

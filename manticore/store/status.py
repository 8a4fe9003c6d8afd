"""The state of a run, and whether its process is still alive.

The worker writes `status.json`; a process that was killed could not write its end, so readers
derive `died` from a state that claims a process which is not there. A status that is lost or
damaged does not cost the run: its events tell whether it came to its end, and if they do not, it
counts as `died` and can be resumed.
"""

import logging
import os
import socket
import time
from pathlib import Path
from typing import Annotated, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from manticore.store.events import is_done, read_events
from manticore.store.files import write_json
from manticore.store.folder import CONFIG_FILE, STATUS_FILE, STOP_FILE

log = logging.getLogger(__name__)

State = Literal["queued", "running", "stopping", "stopped", "done", "failed", "died"]
ACTIVE_STATES: frozenset[State] = frozenset({"queued", "running", "stopping"})

# How old the heartbeat of a process on another machine may be before it counts as dead, in seconds.
# (On this machine the process table answers.)
STALE_AFTER = 60.0
# A process's start is reported relative to the clock, which may be set in between; seconds.
START_TOLERANCE = 2.0

# Up to the last year that the calendar functions of Python know.
Time = Annotated[float, Field(ge=0, lt=253_402_300_800, allow_inf_nan=False)]


class Status(BaseModel):
    """One moment of a run. Times are seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: State
    pid: int
    pid_started: Time
    host: str
    created: Time
    heartbeat: Time
    message: str = ""

    @property
    def is_active(self) -> bool:
        """Whether a process is (or is about to be) at work."""
        return self.state in ACTIVE_STATES

    @property
    def is_here(self) -> bool:
        """Whether the process is on this machine."""
        return self.host == socket.gethostname()

    def process_is_alive(self) -> bool:
        """Whether the process that the status names still exists, whatever the state says."""
        if not self.is_here:
            return time.time() - self.heartbeat < STALE_AFTER
        started = process_started(self.pid)
        return started is not None and abs(started - self.pid_started) < START_TOLERANCE


def process_started(pid: int) -> float | None:
    """When a process of this machine started, in seconds since the epoch; None if there is none.

    The number alone may have passed to another process since; number and start together have not.

    Args:
        pid: Process id.
    """
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return None
    except psutil.AccessDenied:  # someone else's process now has the number
        return None


def write_status(
    folder: Path,
    state: State,
    *,
    pid: int | None = None,
    message: str = "",
    created: float | None = None,
) -> Status:
    """Write `status.json` on behalf of a process.

    Args:
        folder: Folder of the run.
        state: State to write.
        pid: Process id of the worker; this process if None.
        message: What to add to the state, for people.
        created: When the run was created, in seconds since the epoch; now if None.

    Raises:
        OSError: The file cannot be written.
    """
    pid = os.getpid() if pid is None else pid
    now = time.time()
    status = Status(
        state=state,
        pid=pid,
        pid_started=process_started(pid) or 0.0,
        host=socket.gethostname(),
        created=now if created is None else created,
        heartbeat=now,
        message=message,
    )
    write_json(folder / STATUS_FILE, status.model_dump())
    return status


def read_status(folder: Path) -> Status:
    """The status of a run now, with `stopping` and `died` derived.

    A status that is missing or damaged, as a power cut may leave it, is made up from what else the
    folder holds.

    Args:
        folder: Folder of the run.
    """
    status = _written_status(folder)
    if status is None:
        return _status_without_file(folder)
    if not status.is_active:
        return status
    if not status.process_is_alive():
        # The worker may have written its end between our two looks.
        again = _written_status(folder)
        if again == status:
            return status.model_copy(update={"state": "died"})
        return read_status(folder)
    if (folder / STOP_FILE).exists():
        return status.model_copy(update={"state": "stopping"})
    return status


def _written_status(folder: Path) -> Status | None:
    """The status as it is in the file; None if the file is missing or damaged."""
    path = folder / STATUS_FILE
    try:
        return Status.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        log.debug("%s is damaged", path)
        return None


def _status_without_file(folder: Path) -> Status:
    """What the events tell of a run whose status is lost; without an end in them, it died."""
    events, _ = read_events(folder)
    failed = events[-1] if events and events[-1]["kind"] == "failed" else {}
    config = folder / CONFIG_FILE
    return Status(
        state="done" if is_done(events) else failed.get("kind", "died"),
        pid=0,
        pid_started=0.0,
        host=socket.gethostname(),
        created=config.stat().st_mtime if config.is_file() else 0.0,
        heartbeat=0.0,
        message=failed.get("cause", ""),
    )

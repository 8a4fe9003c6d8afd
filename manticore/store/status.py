"""How a run goes, and whether its process still lives.

The worker writes `status.json`; a process that was killed could not write its end, so readers
derive `died` from a state that claims a process which is not there.
"""

import os
import socket
import time
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from manticore.store.files import write_json
from manticore.store.folder import STATUS_FILE, STOP_FILE

State = Literal["queued", "running", "stopping", "stopped", "done", "failed", "died"]
ACTIVE_STATES: frozenset[State] = frozenset({"queued", "running", "stopping"})

# How old the heartbeat of a process on another machine may be before it counts as dead, in seconds.
# (On this machine the process table answers.)
STALE_AFTER = 60.0
# A process's start is told relative to the clock, which may be set in between; seconds.
START_TOLERANCE = 2.0


class Status(BaseModel):
    """One moment of a run. Times are seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: State
    pid: int
    pid_started: float
    host: str
    created: float
    heartbeat: float
    message: str = ""

    @property
    def is_active(self) -> bool:
        """Whether a process is (or is about to be) at work."""
        return self.state in ACTIVE_STATES

    @property
    def is_here(self) -> bool:
        """Whether it is of a process on this machine."""
        return self.host == socket.gethostname()

    def process_is_alive(self) -> bool:
        """Whether the process that the status names still exists, whatever the state says."""
        if not self.is_here:
            return time.time() - self.heartbeat < STALE_AFTER
        started = process_started(self.pid)
        return started is not None and abs(started - self.pid_started) < START_TOLERANCE


def process_started(pid: int) -> float | None:
    """When process `pid` of this machine started (seconds since the epoch), None if there is none.

    A number alone may have passed on to another process since; number and start together do not.
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
    durable: bool = True,
) -> Status:
    """Write `status.json` on behalf of process `pid` (default: this one)."""
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
    write_json(folder / STATUS_FILE, status.model_dump(), durable=durable)
    return status


def read_status(folder: Path) -> Status:
    """The status of a run now, with `stopping` and `died` derived.

    Raises:
        FileNotFoundError: the folder has no status.
        ValueError: the status cannot be read.
    """
    path = folder / STATUS_FILE
    try:
        status = Status.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path} is damaged: restore it, or delete the run folder") from error
    if not status.is_active:
        return status
    if not status.process_is_alive():
        # The worker may have written its end between our two looks.
        again = Status.model_validate_json(path.read_bytes())
        if again == status:
            return status.model_copy(update={"state": "died"})
        return again if not again.is_active or again.process_is_alive() else read_status(folder)
    if (folder / STOP_FILE).exists():
        return status.model_copy(update={"state": "stopping"})
    return status

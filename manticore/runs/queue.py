"""Runs that wait for their turn, so that those of one page do not all work at the same time.

A run that has to wait has a ticket, a file in `.queue/` among the runs. Its worker starts at once,
and waits until it is first in the queue and gets a slot: one of a few locks that a worker holds as
long as it lives. The order of the tickets is the order of the queue. No process keeps the queue,
and the system frees the locks of a dead one: whoever is killed, the others take their turns.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from manticore.store.files import write_json
from manticore.store.status import read_status

FOLDER = ".queue"
"""No run id has a leading dot, so nobody takes it for a run."""
LOOK_EVERY = 0.5
"""Seconds between looks at the queue."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


class Ticket(BaseModel):
    """A place in the queue.

    Attributes:
        since: When the run joined, in seconds since the epoch.
        at_once: How many runs may work at the same time.
    """

    model_config = ConfigDict(frozen=True)

    since: float
    at_once: int = Field(ge=1)


def join(folder: Path, at_once: int) -> None:
    """Put a run at the end of the queue.

    Args:
        folder: Folder of the run.
        at_once: How many runs may work at the same time.

    Raises:
        OSError: The ticket cannot be written.
    """
    path = _ticket_file(folder)
    path.parent.mkdir(exist_ok=True)
    write_json(path, Ticket(since=time.time(), at_once=at_once).model_dump())


def leave(folder: Path) -> None:
    """Take a run out of the queue, if it is in it.

    Args:
        folder: Folder of the run.
    """
    _ticket_file(folder).unlink(missing_ok=True)


def ticket_of(folder: Path) -> Ticket | None:
    """The place of a run in the queue; None if it need not wait.

    Args:
        folder: Folder of the run.
    """
    return _read(_ticket_file(folder))


def runs_ahead(folder: Path, ticket: Ticket) -> int:
    """How many waiting runs come before one; those whose worker is dead do not count.

    Args:
        folder: Folder of the run.
        ticket: Its ticket.
    """
    own, ahead = (ticket.since, folder.name), 0
    for path in _ticket_file(folder).parent.glob("*.json"):
        other = _read(path)
        if other is None or (other.since, path.stem) >= own:
            continue
        ahead += read_status(folder.with_name(path.stem)).state == "queued"
    return ahead


def take_slot(root: Path, at_once: int) -> BaseFileLock | None:
    """A free slot, which is held until it is released or this process ends; None if none is free.

    Args:
        root: Folder of all runs.
        at_once: How many slots there are.
    """
    for number in range(at_once):
        slot = FileLock(root / FOLDER / f"slot-{number}.lock")
        try:
            slot.acquire(timeout=0)
        except Timeout:
            continue
        return slot
    return None


def wait_for_turn(
    folder: Path, stop: threading.Event, tell: Callable[[str], None]
) -> BaseFileLock | None:
    """Wait until a run may work.

    Args:
        folder: Folder of the run.
        stop: Ends the waiting.
        tell: Is given the place in the queue, in words.

    Returns:
        The slot of the run, to be kept while it works; None if it need not wait, or is to stop.
    """
    ticket, slot = ticket_of(folder), None
    while ticket is not None and slot is None and not stop.is_set():
        ahead = runs_ahead(folder, ticket)
        if ahead == 0:
            slot = take_slot(folder.parent, ticket.at_once)
        if slot is None:
            tell(f"{ordinal(ahead + 1)} in the queue")
            stop.wait(LOOK_EVERY)
    leave(folder)
    return slot


def ordinal(number: int) -> str:
    """A place as a word, such as `second`.

    Args:
        number: The place, from 1.
    """
    return _ORDINALS[number - 1] if number <= len(_ORDINALS) else f"number {number}"


def _ticket_file(folder: Path) -> Path:
    return folder.parent / FOLDER / f"{folder.name}.json"


def _read(path: Path) -> Ticket | None:
    try:
        return Ticket.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None

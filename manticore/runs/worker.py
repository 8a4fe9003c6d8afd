"""The process that does a run's work: `python -m manticore.runs.worker FOLDER`.

It holds the folder's lock, writes its status and a heartbeat, and hands over to the stage. SIGTERM,
SIGINT or the folder's stop file ask the stage to checkpoint and return. A second worker on the same
folder refuses to start. `accelerate launch -m manticore.runs.worker FOLDER` works on a run with
several processes, of which the first holds the lock and reports. To shard the weights over GPUs:
`accelerate launch --use_fsdp --fsdp_version 2 --num_processes N -m manticore.runs.worker FOLDER`.
A run that nobody works on yet is made by `--no-launch` in the shell and `launch=False` in Python.

Exit status: 0 done or stopped, 1 failed, 2 no run folder or an environment that does not fit, 3
locked by another worker.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from filelock import Timeout

from manticore.runs.queue import ticket_of, wait_for_turn
from manticore.store.disk import DiskFullError, disk_is_full
from manticore.store.events import Events, EventWriter, SilentEvents, is_done, read_events
from manticore.store.folder import CONFIG_FILE, STOP_FILE
from manticore.store.lock import run_lock
from manticore.store.status import State, read_status, write_status

log = logging.getLogger(__name__)

REFUSED = 2
LOCKED = 3
LOCK_TIMEOUT = 20.0  # the launcher holds the lock while it notes our pid; seconds
HEARTBEAT_EVERY = 2.0
STOP_POLL_EVERY = 0.25
BALLAST_FILE = ".ballast"
BALLAST_SIZE = 65536
RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
MEETING_POINT = ("MASTER_ADDR", "MASTER_PORT")


class Heart:
    """Keeps `status.json` fresh from a thread, and notices the request to stop.

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stop_requested = threading.Event()
        self._ended = threading.Event()
        self._created = read_status(folder).created
        self._now: tuple[State, str] = ("running", "")
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Write the state of the run, again and again until `end`."""
        self._write(*self._now)
        self._thread.start()

    def tell(self, state: State, message: str = "") -> None:
        """Write another state, if it is another one, and repeat it from now on.

        Args:
            state: State of the run.
            message: What to add to the state, for people.
        """
        if (state, message) != self._now:
            self._now = (state, message)
            self._try_beat()

    def end(self, state: State, message: str = "") -> None:
        """Stop beating and write the last state.

        Args:
            state: State in which the run ends.
            message: What to add to the state, for people.
        """
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._write(state, message)

    def _write(self, state: State, message: str = "") -> None:
        with self._writing:
            write_status(self.folder, state, message=message, created=self._created)

    def _beat(self) -> None:
        polls_per_beat = round(HEARTBEAT_EVERY / STOP_POLL_EVERY)
        polls = 0
        while not self._ended.wait(STOP_POLL_EVERY):
            polls += 1
            if (self.folder / STOP_FILE).exists():
                self.stop_requested.set()
            if polls % polls_per_beat == 0:
                self._try_beat()

    def _try_beat(self) -> None:
        try:
            self._write(*self._now)
        except FileNotFoundError:
            log.error("The run folder %s is gone: stopping.", self.folder)
            self.stop_requested.set()
        except OSError as error:
            # A full disk must not end the run: the stage meets it too, and says so.
            log.warning("The heartbeat was not written: %s", error)


def work(folder: Path) -> int:
    """Do the run in a folder to its end, while this process holds the folder's lock.

    Args:
        folder: Folder of the run.

    Returns:
        Exit status of the process.
    """
    if _is_done(folder):
        _leave(folder)
        # Other processes that began before the end are waiting for this one: end them too.
        return 0 if int(os.environ.get("WORLD_SIZE", "1")) == 1 else LOCKED
    if read_status(folder).pid != os.getpid():
        # Nobody has prepared the run for this worker: a request to stop was meant for an earlier
        # one.
        (folder / STOP_FILE).unlink(missing_ok=True)
    _lay_in_ballast(folder)
    heart = Heart(folder)
    _stop_on_signal(heart.stop_requested)
    if ticket_of(folder) is not None:
        heart.tell("queued")
    heart.start()
    slot = wait_for_turn(folder, heart.stop_requested, lambda place: heart.tell("queued", place))
    if slot is None and heart.stop_requested.is_set():
        (folder / BALLAST_FILE).unlink(missing_ok=True)
        heart.end("stopped", "It was stopped before its turn came.")
        return 0
    heart.tell("running")
    try:
        with EventWriter(folder) as events:
            completed = _attempt(folder, events, heart.stop_requested.is_set)
    except Exception as error:
        log.exception("The run failed.")
        (folder / BALLAST_FILE).unlink(missing_ok=True)
        heart.end("failed", describe(error))
        return 1
    (folder / BALLAST_FILE).unlink(missing_ok=True)
    heart.end("done" if completed else "stopped")
    return 0


def _is_done(folder: Path) -> bool:
    return is_done(read_events(folder)[0])


def _leave(folder: Path) -> None:
    """Leave a finished run alone; only its status may lack the end, if its worker was killed."""
    log.info("The run in %s is done: there is nothing left to do.", folder)
    status = read_status(folder)
    if status.state != "done":
        write_status(folder, "done", created=status.created)


def _lay_in_ballast(folder: Path) -> None:
    """Keep room on the disk for the last words of a run that fills it."""
    try:
        (folder / BALLAST_FILE).write_bytes(bytes(BALLAST_SIZE))
    except OSError as error:
        log.warning("No room is kept for the run's last words: %s", error)


def assist(folder: Path) -> None:
    """Work as one of several processes, of which the first has the lock and reports.

    Args:
        folder: Folder of the run.
    """
    _do_stage(folder, SilentEvents(folder), lambda: False)


def _do_stage(folder: Path, events: Events, should_stop: Callable[[], bool]) -> bool:
    # Imported here, so that a broken installation becomes the run's failure, with its remedy.
    from manticore.config.run import RunConfig
    from manticore.runs.stages import run_stage

    config = RunConfig.model_validate_json((folder / CONFIG_FILE).read_bytes())
    return run_stage(folder, config, events, should_stop)


def describe(error: BaseException) -> str:
    """An error in one paragraph: its message, with the type where the message says little alone.

    Args:
        error: Error that ended a run.
    """
    if disk_is_full(error):
        return str(error) if isinstance(error, DiskFullError) else "The disk is full."
    text = str(error).strip()
    kind = type(error).__name__
    if text and (isinstance(error, ValueError) or _is_ours(error)):
        return text
    return f"{kind}: {text}" if text else kind


def remedy_for(error: BaseException) -> str:
    """What to do about an error that ended a run.

    Args:
        error: Error that ended a run.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "Use a smaller batch, shorter sequences or smaller components, then resume."
    if disk_is_full(error):
        return "Free some disk space, then resume: the run continues from its last checkpoint."
    if isinstance(error, ImportError):
        return "Install the missing package, then resume."
    if isinstance(error, ValueError | FileNotFoundError) or _is_ours(error):
        return "Correct the value that is named above and start a new run."
    return "The traceback is in worker.log in the run folder; resume continues from the checkpoint."


def _is_ours(error: BaseException) -> bool:
    """Whether the project raised it: then its message names the value and the remedy."""
    return type(error).__module__.partition(".")[0] == "manticore"


def _attempt(folder: Path, events: EventWriter, should_stop: Callable[[], bool]) -> bool:
    """Whether the stage came to its end (False: it was stopped before)."""
    try:
        completed = _do_stage(folder, events, should_stop)
    except Exception as error:
        (folder / BALLAST_FILE).unlink(missing_ok=True)
        try:
            events.emit("failed", cause=describe(error), remedy=remedy_for(error))
        except OSError as write_error:
            log.error("The failure could not be recorded: %s", write_error)
        raise
    if completed:
        events.emit("done")
    return completed


def _stop_on_signal(stop_requested: threading.Event) -> None:
    def request(_number: int, _frame: FrameType | None) -> None:
        stop_requested.set()

    signal.signal(signal.SIGTERM, request)
    signal.signal(signal.SIGINT, request)


def rank_here() -> int:
    """This process's number among those that `accelerate launch` started; 0 for one alone.

    Raises:
        ValueError: The environment names a number of processes, and nothing to find them by: then
            another program has left it, and waiting for the others would never end.
    """
    given = {name: os.environ[name] for name in RANKS if name in os.environ}
    if not given:
        return 0
    what = ", ".join(f"{name}={value}" for name, value in given.items())
    remedy = f"unset {', '.join(given)}, or start the worker with accelerate launch."
    try:
        rank, size = (
            int(given.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1))
        )
    except ValueError as error:
        raise ValueError(f"The environment has {what}, which are not numbers: {remedy}") from error
    missing = [name for name in (*RANKS, *MEETING_POINT) if name not in os.environ]
    if not missing and 0 <= rank < size:
        return rank
    if rank == 0 and size == 1:
        for name in given:
            del os.environ[name]
        return 0
    why = f"but not {', '.join(missing)}" if missing else "which do not fit together"
    raise ValueError(
        f"The environment has {what}, {why}: another program has left them. Please {remedy}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the worker on the folder named on the command line.

    Args:
        arguments: Command line without the program; that of this process if None.

    Returns:
        Exit status of the process.
    """
    parser = argparse.ArgumentParser(prog="manticore.runs.worker", description=__doc__)
    parser.add_argument("folder", type=Path, help="a run folder with its config.json")
    folder = parser.parse_args(arguments).folder.resolve()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if not (folder / CONFIG_FILE).is_file():
        log.error("%s is not a run folder: it has no %s.", folder, CONFIG_FILE)
        return REFUSED
    try:
        rank = rank_here()
    except ValueError as error:
        log.error("%s", error)
        return REFUSED
    done = _is_done(folder)
    if rank > 0:
        if not done:
            assist(folder)
        return 0
    try:
        with run_lock(folder).acquire(timeout=LOCK_TIMEOUT):
            if done:
                _leave(folder)
                return 0
            return work(folder)
    except Timeout:
        log.error("Another worker is at work in %s: stop it before you start a second.", folder)
        return LOCKED


if __name__ == "__main__":
    sys.exit(main())

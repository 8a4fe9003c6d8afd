"""The process that does a run's work: `python -m manticore.runs.worker FOLDER`.

It holds the folder's lock, writes its status and a heartbeat, and hands over to the stage. SIGTERM,
SIGINT or the folder's stop file ask the stage to checkpoint and return. A second worker on the same
folder refuses to start. `accelerate launch -m manticore.runs.worker FOLDER` works on a run with
several processes, of which the first holds the lock and reports. To shard the weights over GPUs:
`accelerate launch --use_fsdp --fsdp_version 2 --num_processes N -m manticore.runs.worker FOLDER`.
A run that nobody works on yet is made by `--no-launch` in the shell and `launch=False` in Python.

Exit status: 0 done or stopped, 1 failed, 2 not a run folder, 3 locked.
"""

import argparse
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from filelock import Timeout

from manticore.store.events import EventWriter, SilentEvents, read_events
from manticore.store.folder import CONFIG_FILE, STOP_FILE
from manticore.store.lock import run_lock
from manticore.store.status import State, read_status, write_status

log = logging.getLogger(__name__)

LOCK_TIMEOUT = 20.0  # the launcher holds the lock while it notes our pid; seconds
HEARTBEAT_EVERY = 2.0
STOP_POLL_EVERY = 0.25
BALLAST_FILE = ".ballast"
BALLAST_SIZE = 65536
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Heart:
    """Keeps `status.json` fresh from a thread, and notices the request to stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stop_requested = threading.Event()
        self._ended = threading.Event()
        self._created = read_status(folder).created
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Say that the run is running, and go on saying so."""
        self._write("running")
        self._thread.start()

    def end(self, state: State, message: str = "") -> None:
        """Stop beating and write the last state."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._write(state, message)

    def _write(self, state: State, message: str = "", durable: bool = True) -> None:
        with self._writing:
            write_status(
                self.folder, state, message=message, created=self._created, durable=durable
            )

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
            self._write("running", durable=False)
        except FileNotFoundError:
            log.error("the run folder %s is gone: stopping", self.folder)
            self.stop_requested.set()
        except OSError as error:
            # A full disk must not end the run: the stage meets it too, and says so.
            log.warning("heartbeat not written: %s", error)


def work(folder: Path) -> int:
    """Do the run in `folder` to its end; the exit status of the process."""
    if read_status(folder).pid != os.getpid():
        # Nobody has prepared the run for this worker: what asks to stop asked an earlier one.
        (folder / STOP_FILE).unlink(missing_ok=True)
    _lay_in_ballast(folder)
    heart = Heart(folder)
    _stop_on_signal(heart.stop_requested)
    heart.start()
    try:
        with EventWriter(folder) as events:
            completed = _attempt(folder, events, heart.stop_requested.is_set)
    except Exception as error:
        log.exception("the run failed")
        (folder / BALLAST_FILE).unlink(missing_ok=True)
        heart.end("failed", describe(error))
        return 1
    (folder / BALLAST_FILE).unlink(missing_ok=True)
    heart.end("done" if completed else "stopped")
    return 0


def _lay_in_ballast(folder: Path) -> None:
    """Keep room on the disk for the last words of a run that fills it."""
    try:
        (folder / BALLAST_FILE).write_bytes(bytes(BALLAST_SIZE))
    except OSError as error:
        log.warning("no room is kept for the run's last words: %s", error)


def assist(folder: Path) -> None:
    """Work along as one of several processes, of which the first has the lock and reports."""
    _do_stage(folder, SilentEvents(), lambda: False)


def _do_stage(
    folder: Path, events: EventWriter | SilentEvents, should_stop: Callable[[], bool]
) -> bool:
    # Imported here, so that a broken installation becomes the run's failure, with its remedy.
    from manticore.config.run import RunConfig
    from manticore.runs.stages import run_stage

    config = RunConfig.model_validate_json((folder / CONFIG_FILE).read_bytes())
    return run_stage(folder, config, events, should_stop)


def describe(error: BaseException) -> str:
    """An error in one paragraph: its message, with the type where the message says little alone."""
    text = str(error).strip()
    kind = type(error).__name__
    if text and (isinstance(error, ValueError) or _is_ours(error)):
        return text
    return f"{kind}: {text}" if text else kind


def remedy_for(error: BaseException) -> str:
    """What to do about an error that ended a run."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "Use a smaller batch, shorter sequences or smaller components, then resume."
    if _disk_is_full(error):
        return "Free some disk space, then resume: the run goes on from its last checkpoint."
    if isinstance(error, ImportError):
        return "Install the missing package, then resume."
    if isinstance(error, ValueError | FileNotFoundError) or _is_ours(error):
        return "Correct the value that is named above and start a new run."
    return "The traceback is in worker.log in the run folder; resume continues from the checkpoint."


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether the system had no room for a write, whoever asked for it.

    safetensors raises an error of its own that quotes the system's, and torch one that names its
    writer.
    """
    quoted = [f"os error {code}" for code in _FULL]
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(sign in str(error) for sign in (*quoted, "inline_container", "PytorchStreamWriter")):
            return True
        error = error.__cause__ or error.__context__
    return False


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
            log.error("the failure could not be recorded: %s", write_error)
        raise
    if completed and not _said_done(folder):
        events.emit("done")
    return completed


def _said_done(folder: Path) -> bool:
    events, _ = read_events(folder)
    return bool(events) and events[-1]["kind"] == "done"


def _stop_on_signal(stop_requested: threading.Event) -> None:
    def request(_number: int, _frame: FrameType | None) -> None:
        stop_requested.set()

    signal.signal(signal.SIGTERM, request)
    signal.signal(signal.SIGINT, request)


def main(arguments: list[str] | None = None) -> int:
    """Run the worker on the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="manticore.runs.worker", description=__doc__)
    parser.add_argument("folder", type=Path, help="a run folder with its config.json")
    folder = parser.parse_args(arguments).folder.resolve()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if not (folder / CONFIG_FILE).is_file():
        log.error("%s is not a run folder: it has no %s", folder, CONFIG_FILE)
        return 2
    if int(os.environ.get("RANK", "0")) > 0:
        assist(folder)
        return 0
    try:
        with run_lock(folder).acquire(timeout=LOCK_TIMEOUT):
            return work(folder)
    except Timeout:
        log.error("another worker is at work in %s: stop it before you start a second", folder)
        return 3


if __name__ == "__main__":
    sys.exit(main())

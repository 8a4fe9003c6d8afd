"""Making a run folder and starting its worker, a process of its own that outlives its parent."""

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from manticore.config.run import RunConfig, Start
from manticore.extras import require
from manticore.runs import queue
from manticore.runs.spare import SPARE, start_worker_process
from manticore.store.disk import writing
from manticore.store.files import publish_folder, write_json
from manticore.store.folder import (
    CONFIG_FILE,
    LOG_FILE,
    STOP_FILE,
    new_run_id,
    runs_root,
)
from manticore.store.layout import START_FOLDER
from manticore.store.lock import run_lock
from manticore.store.status import read_status, write_status
from manticore.train.tracking import require_trackers

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


LOCK_TIMEOUT = 10.0
"""How long an earlier worker may take to let go of the folder, in seconds."""


class WorkerProcess(Protocol):
    """A worker that was started: what its launcher needs of it."""

    @property
    def pid(self) -> int:
        """Process id."""
        ...

    def wait(self) -> Any:
        """Wait for its end, and clear it from the process table."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


def start_process(folder: Path, output: BinaryIO) -> WorkerProcess:
    """Start a worker in a session of its own: the spare one, or a fresh interpreter.

    Args:
        folder: Folder of the run.
        output: File that the worker's output goes to.

    Raises:
        OSError: The process cannot be started.
    """
    return SPARE.take(folder, Path(output.name)) or start_fresh_process(folder, output)


def start_fresh_process(folder: Path, output: BinaryIO) -> WorkerProcess:
    """Start a worker by a fresh interpreter, which needs little memory until it begins to work.

    Arguments and errors are those of `start_process`.
    """
    return start_worker_process(
        "manticore.runs.worker", str(folder), stdin=subprocess.DEVNULL, stdout=output
    )


def require_device(name: str) -> None:
    """Refuse a device that this machine does not have.

    Args:
        name: Name of the device, as in `RunConfig.device`.

    Raises:
        ValueError: There is no such device.
    """
    if name in ("auto", "cpu"):
        return
    # Here, because it needs torch, which takes seconds to import.
    from manticore.train.devices import find_device

    find_device(name)


def make_run_folder(
    config: RunConfig,
    hybrid: "ManticoreForCausalLM | None" = None,
    root: str | os.PathLike[str] | None = None,
) -> Path:
    """Make the folder of a new run, queued; it appears under its name only when it is whole.

    Args:
        config: Configuration of the run.
        hybrid: Hybrid to start from, saved under `start/`; if None, the worker builds one.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None. Made if missing.

    Raises:
        DiskFullError: The disk is full.
        OSError: The folder cannot be written.
        ModuleNotFoundError: A tracker, or peft for LoRA, is not installed.
    """
    require_trackers(config.trackers)
    if getattr(config.options, "lora", None) is not None:
        require("Fine-tuning with LoRA", "peft")
    base = runs_root(root)
    base.mkdir(parents=True, exist_ok=True)
    run_id = new_run_id(config.name or config.stage)
    # No run id has a leading dot, so nobody takes the half-made folder for a run.
    making = base / f".{run_id}"
    try:
        with writing(making):
            making.mkdir()
            if hybrid is not None:
                # Here, because it needs torch, which takes seconds to import.
                from manticore.runs.hybrids import weights_digest

                start = Start.model_validate({"digest": weights_digest(hybrid), **hybrid.origin})
                config = config.model_copy(update={"start": start})
                hybrid.save_pretrained(making / START_FOLDER)
            write_json(making / CONFIG_FILE, config.with_absolute_paths().model_dump(mode="json"))
            # Until the worker has a process, the run is as alive as the process that launches it.
            write_status(making, "queued")
            publish_folder(making, base / run_id)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return base / run_id


def spawn_worker(folder: Path, at_once: int | None = None) -> int:
    """Start a worker on a run folder in its own session; the process's id.

    It continues when this process, its terminal or its notebook ends. Output goes to `worker.log`.

    Args:
        folder: Folder of the run.
        at_once: How many runs that wait for each other may work at the same time; None for a run
            that does not wait.

    Raises:
        filelock.Timeout: Another worker is still at work in the folder.
        DiskFullError: The disk is full; no worker was started.
        OSError: The process cannot be started.
    """
    with (
        writing(folder),
        run_lock(folder).acquire(timeout=LOCK_TIMEOUT),
        (folder / LOG_FILE).open("ab") as output,
    ):
        created = read_status(folder).created
        (folder / STOP_FILE).unlink(missing_ok=True)
        process = _start_in_queue(folder, output, at_once)
        # A child that nobody waits for stays in the process table as a zombie.
        threading.Thread(target=process.wait, name=f"wait {process.pid}", daemon=True).start()
        try:
            # The worker waits for the lock, so it cannot have written its own status before this.
            write_status(folder, "queued", pid=process.pid, created=created)
        except OSError:
            process.kill()
            raise
    return process.pid


def _start_in_queue(folder: Path, output: BinaryIO, at_once: int | None) -> WorkerProcess:
    """Start a worker that waits for its turn, or one that need not."""
    if at_once is None:
        queue.leave(folder)
        return start_process(folder, output)
    queue.join(folder, at_once)
    slot = queue.take_slot(folder.parent, at_once)
    if slot is None:  # the spare worker is for a run that works now
        return start_fresh_process(folder, output)
    slot.release()
    return start_process(folder, output)

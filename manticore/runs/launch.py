"""Making a run folder and starting its worker, a process of its own that outlives its parent."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from manticore.config.run import RunConfig, Start
from manticore.extras import require
from manticore.paths import worker_environment
from manticore.store.files import write_json
from manticore.store.folder import (
    CONFIG_FILE,
    LOG_FILE,
    STATUS_FILE,
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


def make_run_folder(
    config: RunConfig,
    hybrid: "ManticoreForCausalLM | None" = None,
    root: str | os.PathLike[str] | None = None,
) -> Path:
    """Make the folder of a new run, queued; it appears under its name only when it is whole.

    Args:
        config: what the run does.
        hybrid: the hybrid to start from, saved under `start/`; None: the worker builds one.
        root: the folder of all runs; default $MANTICORE_RUNS, else ./runs. Made if missing.

    Raises:
        OSError: the folder cannot be written.
        ModuleNotFoundError: A tracker, or peft for LoRA, is not installed.
    """
    require_trackers(config.trackers)
    if getattr(config.options, "lora", None) is not None:
        require("Fine-tuning with LoRA", "peft")
    base = runs_root(root)
    base.mkdir(parents=True, exist_ok=True)
    run_id = new_run_id(config.name or config.stage)
    # A leading dot is no run id, so nobody takes the half-made folder for a run.
    making = base / f".{run_id}"
    making.mkdir()
    try:
        if hybrid is not None:
            # Here, because it needs torch, which takes seconds to import.
            from manticore.runs.hybrids import weights_digest

            start = Start(digest=weights_digest(hybrid), **hybrid.origin)
            config = config.model_copy(update={"start": start})
            hybrid.save_pretrained(making / START_FOLDER)
        write_json(making / CONFIG_FILE, config.with_absolute_paths().model_dump(mode="json"))
        # Until the worker has a process, the run is as alive as the process that launches it.
        write_status(making, "queued")
        making.rename(base / run_id)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return base / run_id


def spawn_worker(folder: Path) -> int:
    """Start a worker on a run folder in its own session; the process's id.

    It goes on when this process, its terminal or its notebook ends. Output goes to `worker.log`.

    Raises:
        filelock.Timeout: another worker is still at work in the folder.
        OSError: the process cannot be started.
    """
    with run_lock(folder).acquire(timeout=10.0), (folder / LOG_FILE).open("ab") as output:
        created = read_status(folder).created if (folder / STATUS_FILE).exists() else None
        (folder / STOP_FILE).unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "manticore.runs.worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=worker_environment(),
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        # The worker waits for the lock, so it cannot have written its own status before this.
        write_status(folder, "queued", pid=process.pid, created=created)
    # A child that nobody waits for stays in the process table as a zombie.
    threading.Thread(target=process.wait, name=f"wait {process.pid}", daemon=True).start()
    return process.pid

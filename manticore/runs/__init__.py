"""Runs: background jobs with a folder each, which continue and are found again whoever watches."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from manticore.config.run import RunConfig
from manticore.runs.launch import make_run_folder, require_device, spawn_worker
from manticore.runs.run import Run, RunError, get_run, runs
from manticore.store.folder import runs_root
from manticore.store.status import Status, write_status

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

__all__ = [
    "Run",
    "RunConfig",
    "RunError",
    "Status",
    "get_run",
    "runs",
    "runs_root",
    "start_run",
]


def start_run(
    config: RunConfig,
    hybrid: "ManticoreForCausalLM | None" = None,
    root: str | os.PathLike[str] | None = None,
    *,
    launch: bool = True,
    at_once: int | None = None,
) -> Run:
    """Start a run in the background and return it at once.

    Args:
        config: Configuration of the run.
        hybrid: Hybrid to start from; if None, the worker builds it from `config`.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None. Made if missing.
        launch: False only makes the run: `Run.resume` starts it, or `accelerate launch` does, with
            several processes.
        at_once: Wait until fewer runs than this work, of those that were started in this way; None
            to begin at once, whatever else works.

    Raises:
        ValueError: This machine does not have the device that the run is to use.
        ModuleNotFoundError: A tracker is not installed.
        DiskFullError: The disk is full.
        OSError: The run folder cannot be written, or the process cannot be started.
    """
    if launch:
        require_device(config.device)
    folder = make_run_folder(config, hybrid, root)
    if not launch:
        write_status(folder, "stopped", message="It was not started yet.")
        return Run(folder)
    try:
        spawn_worker(folder, at_once)
    except OSError as error:
        with suppress(OSError):
            write_status(folder, "failed", message=str(error))
        raise
    return Run(folder)

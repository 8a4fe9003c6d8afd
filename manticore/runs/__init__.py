"""Runs: background jobs with a folder each, which go on and are found again whoever watches."""

import os
from typing import TYPE_CHECKING

from manticore.config.run import RunConfig
from manticore.runs.launch import make_run_folder, spawn_worker
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
) -> Run:
    """Start a run in the background and return it at once.

    Args:
        config: what to do.
        hybrid: the hybrid to start from; None: the worker builds it from `config`.
        root: the folder of all runs; default $MANTICORE_RUNS, else ./runs. Made if missing.
        launch: False only makes the run: `Run.resume` starts it, or `accelerate launch` does, with
            several processes.

    Raises:
        OSError: the run folder cannot be written, or the process cannot be started.
    """
    folder = make_run_folder(config, hybrid, root)
    if not launch:
        write_status(folder, "stopped", message="it was not started yet")
        return Run(folder)
    try:
        spawn_worker(folder)
    except OSError as error:
        write_status(folder, "failed", message=str(error))
        raise
    return Run(folder)

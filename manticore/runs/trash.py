"""Deleted runs, which can be brought back until they are cleared away."""

import os
import shutil
from pathlib import Path

from manticore.runs.run import Run, get_run
from manticore.store.folder import run_folder, runs_root

_DELETED = ".deleted-"
"""No run id has a leading dot, so nobody takes a deleted run for a run."""


def discard(run: Run) -> None:
    """Take a run out of the list; its folder stays until `clear_trash`.

    Args:
        run: The run.

    Raises:
        RunError: The run is at work.
        OSError: The folder cannot be moved.
    """
    run.check_deletable()
    run.folder.rename(_in_trash(run.folder))


def _in_trash(folder: Path) -> Path:
    """Where the folder of a run is while the run is deleted."""
    return folder.with_name(f"{_DELETED}{folder.name}")


def restore(run_id: str, root: str | os.PathLike[str] | None = None) -> Run:
    """Bring a deleted run back.

    Args:
        run_id: Id of the run.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.

    Raises:
        ValueError: `run_id` does not have the form of an id.
        KeyError: No deleted run has this id.
        OSError: The folder cannot be moved.
    """
    folder = run_folder(run_id, root)
    deleted = _in_trash(folder)
    if not deleted.is_dir():
        raise KeyError(
            f"There is no deleted run {run_id!r} in {folder.parent}: it was cleared away."
        )
    deleted.rename(folder)
    return get_run(run_id, root)


def is_in_trash(run_id: str, root: str | os.PathLike[str] | None = None) -> bool:
    """Whether a deleted run of this id can still be brought back.

    Args:
        run_id: Id of a run.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.

    Raises:
        ValueError: `run_id` does not have the form of an id.
    """
    return _in_trash(run_folder(run_id, root)).is_dir()


def clear_trash(root: str | os.PathLike[str] | None = None) -> int:
    """Remove all deleted runs for good.

    Args:
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.

    Returns:
        How many there were.

    Raises:
        OSError: A folder cannot be removed.
    """
    base: Path = runs_root(root)
    deleted = list(base.glob(f"{_DELETED}*")) if base.is_dir() else []
    for folder in deleted:
        shutil.rmtree(folder)
    return len(deleted)

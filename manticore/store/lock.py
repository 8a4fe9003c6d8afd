"""The lock that keeps two workers out of one run folder."""

from pathlib import Path

from filelock import FileLock

from manticore.store.folder import LOCK_FILE


def run_lock(folder: Path) -> FileLock:
    """The lock that a run's worker holds while it lives; the system frees that of a dead one.

    Args:
        folder: Folder of the run.
    """
    return FileLock(folder / LOCK_FILE)

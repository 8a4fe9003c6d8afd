"""The lock that keeps two workers out of one run folder."""

from pathlib import Path

from filelock import FileLock

from manticore.store.folder import LOCK_FILE


def run_lock(folder: Path) -> FileLock:
    """The lock that the worker of `folder` holds while it lives; the system frees a dead one's."""
    return FileLock(folder / LOCK_FILE)

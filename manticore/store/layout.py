"""Where runs are, and the names of those parts of a run folder that stages read and write."""

import os
from pathlib import Path

from manticore.paths import expanded

ROOT_VARIABLE = "MANTICORE_RUNS"

START_FOLDER = "start"
"""The hybrid that the run starts from."""
CHECKPOINTS_FOLDER = "checkpoints"
RESULT_FOLDER = "result"
HYBRID_FOLDER = "hybrid"
"""Inside the result: the finished hybrid."""
TASKS_FOLDER = "tasks"
"""Results of the tasks of a programming run."""
METRICS_FILE = "metrics.json"
"""Inside the result: what was measured."""


def runs_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The absolute path of the folder that holds all runs.

    Args:
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.

    Raises:
        ValueError: The home folder in the path is not known.
        NotADirectoryError: The path leads to a file.
    """
    folder = expanded(root or os.environ.get(ROOT_VARIABLE) or "runs").resolve()
    if folder.is_file():
        raise NotADirectoryError(
            f"{folder} is a file and cannot hold runs: give a folder, by --runs-root, root= or "
            f"${ROOT_VARIABLE}."
        )
    return folder

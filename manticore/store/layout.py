"""Where runs are, and what the parts of a run folder are called that a stage reads and writes."""

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
"""What each task of a programming run found."""
METRICS_FILE = "metrics.json"
"""Inside the result: what was measured."""


def runs_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder that holds all runs: `root`, else $MANTICORE_RUNS, else ./runs; absolute."""
    return expanded(root or os.environ.get(ROOT_VARIABLE) or "runs").resolve()

"""Runs in words that the page, the terminal and the notebook share."""

import shlex
from typing import TYPE_CHECKING

from pydantic import ValidationError

from manticore.train.layout import runs_root

if TYPE_CHECKING:
    from manticore.runs.run import Run

STATE_WORDS = {
    "queued": "starting",
    "running": "running",
    "stopping": "stopping after this step",
    "stopped": "stopped",
    "done": "done",
    "failed": "failed",
    "died": "interrupted",
}


def in_its_folder(run: "Run") -> str:
    """The end of a command on a run: where it is, if its runs are not where commands look."""
    elsewhere = run.folder.parent
    return "" if elsewhere == runs_root() else f" --runs-root {shlex.quote(str(elsewhere))}"


def preparing(stage: str) -> str:
    """What a run of this stage does before its first step."""
    then = "making the first task" if stage == "program" else "measuring each component alone"
    return f"loading components, aligning projectors and {then}"


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units, such as `2 min 05 s`; "" if not known."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def explain(error: Exception) -> str:
    """An error in words for the reader: what is wrong with which value, and the remedy."""
    if isinstance(error, ValidationError):
        problems = []
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            text = problem["msg"].removeprefix("Value error, ")
            problems.append(f"{where}: {text}" if where else text)
        return "; ".join(problems)
    return str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)

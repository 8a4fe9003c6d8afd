"""The stages of a run, by name."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from manticore.programming.stage import program
from manticore.store.events import EventWriter
from manticore.train.evaluating import evaluate
from manticore.train.training import train

if TYPE_CHECKING:
    from manticore.config.run import RunConfig

Stage = Callable[[Path, "RunConfig", EventWriter, Callable[[], bool]], bool]

STAGES: dict[str, Stage] = {
    "search": train,
    "pretrain-projectors": train,
    "finetune": train,
    "program": program,
    "evaluate": evaluate,
}


def run_stage(
    folder: Path, config: "RunConfig", events: EventWriter, should_stop: Callable[[], bool]
) -> bool:
    """Do what a run is for, from its newest checkpoint on; see the stage's own function.

    Returns:
        Whether it came to its end; False if it was stopped before.
    """
    return STAGES[config.stage](folder, config, events, should_stop)

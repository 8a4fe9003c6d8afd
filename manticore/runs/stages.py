"""Doing a run's stage."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from manticore.names import STAGES
from manticore.store.events import Events

if TYPE_CHECKING:
    from manticore.config.run import RunConfig

StageFunction = Callable[[Path, "RunConfig", Events, Callable[[], bool]], bool]
"""A stage is a function of folder, configuration, events and `should_stop`; it returns whether it
came to its end."""


def run_stage(
    folder: Path, config: "RunConfig", events: Events, should_stop: Callable[[], bool]
) -> bool:
    """Do the stage of a run, from its newest checkpoint on.

    Args:
        folder: Folder of the run.
        config: Configuration of the run.
        events: Events of the run.
        should_stop: Called between steps; True asks the stage to write a checkpoint and return.

    Returns:
        Whether the stage came to its end; False if it was stopped before.
    """
    stage: StageFunction = STAGES.load(config.stage)
    return stage(folder, config, events, should_stop)

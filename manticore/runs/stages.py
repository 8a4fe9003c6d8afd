"""Doing a run's stage."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from manticore.names import STAGES
from manticore.store.events import Events

if TYPE_CHECKING:
    from manticore.config.run import RunConfig

StageFunction = Callable[[Path, "RunConfig", Events, Callable[[], bool]], bool]
"""What a stage is: `stage(folder, config, events, should_stop)` says whether it came to its end."""


def run_stage(
    folder: Path, config: "RunConfig", events: Events, should_stop: Callable[[], bool]
) -> bool:
    """Do what a run is for, from its newest checkpoint on; see the stage's own function.

    Returns:
        Whether it came to its end; False if it was stopped before.
    """
    stage: StageFunction = STAGES.load(config.stage)
    return stage(folder, config, events, should_stop)

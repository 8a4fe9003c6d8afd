"""A run's events in the trackers that people already watch: TensorBoard, trackio, W&B.

The events stay the record of a run; trackers get the same numbers under readable names, through
accelerate.
"""

import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.extras import EXTRAS, require
from manticore.names import TRACKERS
from manticore.store.events import Event, Events

if TYPE_CHECKING:
    from accelerate import Accelerator

    from manticore.config.run import RunConfig

PROJECT = "manticore"
TENSORBOARD_FOLDER = "tensorboard"
"""Inside the run's folder: `tensorboard --logdir` takes it, or the folder of all runs."""


def require_trackers(names: Iterable[str]) -> None:
    """Refuse trackers that are not installed.

    Raises:
        ModuleNotFoundError: A tracker's package is missing; the message says how to install it.
    """
    for name in names:
        if name in EXTRAS:
            require("This tracker", name)
        elif importlib.util.find_spec(TRACKERS[name].home) is None:
            raise ModuleNotFoundError(
                f"The tracker {name} is not installed: run `pip install {TRACKERS[name].home}`, or "
                "leave it out."
            )


def tracker_arguments(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Arguments for an `Accelerator` that knows the trackers of a run.

    Args:
        folder: Folder of the run.
        names: Names of the trackers.
    """
    from accelerate.utils import ProjectConfiguration

    project = ProjectConfiguration(logging_dir=str(folder / TENSORBOARD_FOLDER))
    return {"log_with": list(names) or None, "project_config": project}


class TrackedEvents:
    """Events that go to the accelerator's trackers too.

    A resumed run repeats the steps after its checkpoint, with the same numbers: what earlier
    workers have logged is not logged a second time.

    Args:
        events: Events of the run.
        accelerator: Accelerator made with `tracker_arguments`; where it has no tracker, nothing is
            logged.
        folder: Folder of the run; the trackers' run gets its name.
        step: Step of the run that is logged with events that name none, before the first that does.
    """

    def __init__(
        self, events: Events, accelerator: "Accelerator", folder: Path, step: int = 0
    ) -> None:
        self.events = events
        self.accelerator = accelerator
        self.earlier: Sequence[Event] = events.earlier
        placed = [event for event in events.earlier if "step" in event]
        self.logged = {_key(event["kind"], event) for event in placed}
        self.step = max([step, *(event["step"] for event in placed)])
        accelerator.init_trackers(
            PROJECT,
            init_kwargs={
                "trackio": {"name": folder.name, "resume": "allow"},
                "wandb": {"name": folder.name, "id": folder.name, "resume": "allow", "dir": folder},
            },
        )

    def emit(self, kind: str, **fields: Any) -> None:
        """Write an event as `EventWriter.emit` does, and log its numbers."""
        self.events.emit(kind, **fields)
        self.step = fields.get("step", self.step)
        if _key(kind, fields) not in self.logged:
            values = tracked_values(kind, fields)
            if values:
                self.accelerator.log(values, step=self.step)


@contextmanager
def tracked(events: Events, folder: Path, config: "RunConfig") -> Iterator[TrackedEvents]:
    """A run's events with its trackers, for what belongs to no training.

    Args:
        events: Events of the run.
        folder: Folder of the run.
        config: Configuration of the run.
    """
    # Here, because they need torch, and a run is started without it.
    from accelerate import Accelerator

    from manticore.train.devices import use_device

    accelerator = Accelerator(
        cpu=use_device(config.device).type == "cpu", **tracker_arguments(folder, config.trackers)
    )
    yield TrackedEvents(events, accelerator, folder)
    for tracker in accelerator.trackers:
        tracker.finish()


def _key(kind: str, fields: Mapping[str, Any]) -> tuple[str, int | None, str]:
    """What tells two events of a run apart: at one step, a task may end and the next begin."""
    return kind, fields.get("step"), fields.get("task", "")


def tracked_values(kind: str, fields: Mapping[str, Any]) -> dict[str, float | str]:
    """The values of an event, under names for people; empty for kinds that are not tracked.

    Blocks are counted from 1, as in the page: `mixture/block-1/NAME`.

    Args:
        kind: Kind of the event.
        fields: Fields of the event.
    """
    if kind == "step":
        rates = {f"lr/{name}": rate for name, rate in fields["lr"].items()}
        speed = fields["tokens_per_s"]
        return {"train/loss": fields["loss"], "train/tokens_per_s": speed, **rates}
    if kind == "mixture":
        return {
            f"mixture/block-{block}/{name}": float(weight)
            for block, row in enumerate(fields["weights"], start=1)
            for name, weight in zip(fields["components"], row, strict=True)
        }
    if kind == "eval":
        metrics = fields["metrics"]
        values = {"hybrid": metrics["perplexity"], **metrics["components"]}
        if metrics["floor"] is not None:
            values["floor"] = math.exp(metrics["floor"])
        tracked = {f"perplexity/{name}": value for name, value in values.items()}
        if "accuracy" in metrics:
            tracked[f"accuracy/{fields['task']}"] = metrics["accuracy"]
        return tracked
    if kind in ("sample", "warning"):
        return {kind: fields["text" if kind == "sample" else "message"]}
    return {}

"""A run's events in the trackers that people already watch: TensorBoard, trackio, W&B.

The events stay the record of a run; trackers get the same numbers under readable names, through
accelerate.
"""

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.train.events import EventWriter, Section, SilentEvents, read_events

if TYPE_CHECKING:
    from accelerate import Accelerator

PROJECT = "manticore"
TENSORBOARD_FOLDER = "tensorboard"
"""Inside the run's folder: `tensorboard --logdir` takes it, or the folder of all runs."""


def require_trackers(names: Iterable[str]) -> None:
    """Refuse trackers that are not installed.

    Raises:
        ModuleNotFoundError: A tracker's package is missing; the message says how to install it.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        packages = " ".join(missing)
        raise ModuleNotFoundError(
            f"The tracker {packages} is not installed: pip install {packages}, or leave it out."
        )


def tracker_arguments(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """What an `Accelerator` is made with, so that it knows the trackers of the run in `folder`."""
    from accelerate.utils import ProjectConfiguration

    project = ProjectConfiguration(logging_dir=str(folder / TENSORBOARD_FOLDER))
    return {"log_with": list(names) or None, "project_config": project}


class TrackedEvents:
    """An event stream whose events go to the accelerator's trackers too.

    A resumed run repeats the steps after its checkpoint, with the same numbers: what the stream
    held when this worker began is not logged a second time.

    Args:
        events: The stream.
        accelerator: Made with `tracker_arguments`; where it has no tracker, nothing is logged.
        folder: The run's folder, whose name becomes that of the trackers' run.
        section: The part of the run that the events are of; all of it if None.
    """

    def __init__(
        self,
        events: EventWriter | SilentEvents,
        accelerator: "Accelerator",
        folder: Path,
        section: Section | None = None,
    ) -> None:
        self.events = events
        self.accelerator = accelerator
        self.section = section
        earlier = [event for event in read_events(folder)[0] if "step" in event]
        self.logged = {(event["kind"], event["step"]) for event in earlier}
        self.step = max((event["step"] for event in earlier), default=0)
        accelerator.init_trackers(
            PROJECT,
            init_kwargs={
                "trackio": {"name": folder.name, "resume": "allow"},
                "wandb": {"name": folder.name, "id": folder.name, "resume": "allow"},
            },
        )

    def emit(self, kind: str, **fields: Any) -> None:
        """Write an event as `EventWriter.emit` does, and log what it says."""
        if self.section is not None:
            fields = self.section.place(fields)
        self.events.emit(kind, **fields)
        self.step = fields.get("step", self.step)
        if (kind, fields.get("step")) not in self.logged:
            values = tracked_values(kind, fields)
            if values:
                self.accelerator.log(values, step=self.step)


def tracked_values(kind: str, fields: Mapping[str, Any]) -> dict[str, float | str]:
    """What an event says, under names for people; empty for kinds that are not tracked.

    Blocks are counted from 1, as in the page: `mixture/block-1/NAME`.

    Args:
        kind: Of the event.
        fields: Of the event.
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
            values["floor"] = metrics["floor"]
        tracked = {f"perplexity/{name}": value for name, value in values.items()}
        if "accuracy" in metrics:
            tracked[f"accuracy/{fields['task']}"] = metrics["accuracy"]
        return tracked
    if kind in ("sample", "warning"):
        return {kind: fields["text" if kind == "sample" else "message"]}
    return {}

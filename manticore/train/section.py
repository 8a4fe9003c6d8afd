"""Parts of a run that count their own steps, such as the searches of programming on its tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manticore.store.events import Event, Events


@dataclass(frozen=True)
class Section:
    """A part of a run that counts its own steps; in events the whole run's are counted.

    Attributes:
        first_step: Steps of the run before this part.
        name: Name of the folder of this part's checkpoints, inside that of the run's.
        labels: Fields that each event of this part gets.
        later: How much comes after this part, in steps of this part.
    """

    first_step: int = 0
    name: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    later: float = 0.0


class SectionEvents:
    """The events of one part of a run, between those who count its steps and the run's stream.

    Args:
        events: Events of the run.
        section: Part of the run.
    """

    def __init__(self, events: Events, section: Section) -> None:
        self.events = events
        self.section = section
        labels, first = section.labels.items(), section.first_step
        self.earlier: Sequence[Event] = [
            {**event, "step": event["step"] - first} if "step" in event else event
            for event in events.earlier
            if labels <= event.items()
        ]

    def emit(self, kind: str, **fields: Any) -> None:
        """Write one event of this part; see `EventWriter.emit`."""
        placed = {**self.section.labels, **fields}
        if "step" in placed:
            placed["step"] += self.section.first_step
        self.events.emit(kind, **placed)

"""How far a suite is, for whoever watches it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from manticore.store.events import read_events
from manticore.suite.protocol import Trial


@dataclass(frozen=True)
class Progress:
    """How far a suite is.

    Attributes:
        trial: The trial that took a step, or that ended or was left out.
        step: Optimizer steps done of it.
        accuracy: Test accuracy last measured; None before the first measurement.
        finished: Number of trials that are over or left out.
        total: Number of all trials.
        share: Share of all tokens to train on that are done, from 0 to 1.
    """

    trial: Trial
    step: int
    accuracy: float | None
    finished: int
    total: int
    share: float


class Standing:
    """Where all trials of a suite are together, told to `report` whenever it changes.

    Args:
        trials: All trials.
        missing: Those that are not done yet.
        report: Called with each `Progress`.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        missing: Sequence[Trial],
        report: Callable[[Progress], object],
    ) -> None:
        self._total, self._report = len(trials), report
        self._finished = len(trials) - len(missing)
        self._tokens = _tokens(trials)
        self._done = self._tokens - _tokens(missing)
        self._partly: dict[Trial, float] = {}

    def at(self, trial: Trial, step: int, accuracy: float | None) -> None:
        """A trial has taken a step."""
        self._partly[trial] = trial.tokens * step / trial.steps
        self._tell(trial, step, accuracy)

    def over(self, trial: Trial, accuracy: float | None) -> None:
        """A trial has ended, or is left out."""
        self._partly.pop(trial, None)
        self._finished += 1
        self._done += trial.tokens
        self._tell(trial, trial.steps, accuracy)

    def _tell(self, trial: Trial, step: int, accuracy: float | None) -> None:
        share = (self._done + sum(self._partly.values())) / self._tokens
        self._report(Progress(trial, step, accuracy, self._finished, self._total, share))


class Following:
    """A trial that another process trains, followed by its events.

    Args:
        trial: The trial.
        folder: Folder of its events.
    """

    def __init__(self, trial: Trial, folder: Path) -> None:
        self._trial, self._folder = trial, folder
        _, self._offset = read_events(folder)
        self._accuracy: float | None = None

    def tell(self, standing: Standing) -> None:
        """Say how far it is, if it took a step since the last call."""
        events, self._offset = read_events(self._folder, self._offset)
        step = None
        for event in events:
            if event["kind"] == "step":
                step = event["step"]
            elif event["kind"] == "eval":
                self._accuracy = event["metrics"]["accuracy"]
        if step is not None:
            standing.at(self._trial, step, self._accuracy)


def _tokens(trials: Iterable[Trial]) -> int:
    return sum(trial.tokens for trial in trials)

"""What a run's folder tells: everything is read from it, and no process is asked."""

import json
import os
import threading
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from manticore.config.run import RunConfig
from manticore.store.events import (
    EVENTS_FILE,
    last_per_step,
    last_per_step_by_task,
    read_events,
)
from manticore.store.folder import CONFIG_FILE, STATUS_FILE
from manticore.store.label import read_label
from manticore.store.layout import METRICS_FILE, RESULT_FOLDER
from manticore.store.status import Status, read_status
from manticore.store.thinned import ThinnedEvents


class RunRecord:
    """One background job as those who watch it see it, in any number of processes.

    Args:
        folder: Folder of the run.

    Raises:
        FileNotFoundError: `folder` is not a run folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).resolve()
        if not (self.folder / CONFIG_FILE).is_file():
            raise FileNotFoundError(f"{self.folder} is not a run folder: it has no {CONFIG_FILE}.")
        if not (self.folder / STATUS_FILE).is_file() and not self._has_a_configuration():
            # A model has a config.json too.
            raise FileNotFoundError(
                f"{self.folder} is not a run folder: it has no {STATUS_FILE}, and its "
                f"{CONFIG_FILE} is not a run's."
            )
        self._events: list[dict[str, Any]] = []
        self._offset = 0
        self._reading = threading.Lock()
        self._thinned = ThinnedEvents(self.folder)

    def _has_a_configuration(self) -> bool:
        try:
            _ = self.config
        except ValidationError:
            return False
        return True

    @property
    def id(self) -> str:
        """The run's id: its folder's name."""
        return self.folder.name

    @cached_property
    def config(self) -> RunConfig:
        """The run's configuration.

        Raises:
            ValidationError: `config.json` is damaged.
        """
        path = self.folder / CONFIG_FILE
        found = path.stat()
        return _read_config(path, found.st_mtime_ns, found.st_size)

    @property
    def name(self) -> str:
        """What the run is called: the name given last, or that of its configuration; else ""."""
        return read_label(self.folder).name or self.config.name or ""

    @property
    def note(self) -> str:
        """What somebody noted about the run; "" if nothing."""
        return read_label(self.folder).note

    @property
    def status(self) -> Status:
        """The status of the run, read now."""
        return read_status(self.folder)

    @property
    def is_alive(self) -> bool:
        """Whether a process is at work on the run."""
        return self.status.is_active

    def events(self) -> list[dict[str, Any]]:
        """All events so far, oldest first. Later calls read only what is new."""
        with self._reading:
            path = self.folder / EVENTS_FILE
            if self._offset and (not path.exists() or path.stat().st_size < self._offset):
                self._events, self._offset = [], 0
            new, self._offset = read_events(self.folder, self._offset)
            self._events.extend(new)
            return list(self._events)

    def thinned_events(self) -> tuple[list[dict[str, Any]], int]:
        """The events so far, oldest first, thinned for pictures, and how many there are in all.

        Of what a long run repeats, a part is kept (`store.thinned`), and of every kind the newest.
        """
        return self._thinned.read()

    def newest_events(self) -> dict[str, dict[str, Any]]:
        """The newest event of each kind, by its kind."""
        return self._thinned.newest()

    def count_events(self) -> int:
        """How many events there are so far."""
        return self._thinned.count()

    def mixture_history(self) -> np.ndarray:
        """Mixture weights over the run.

        `mixture_steps` has the steps. Steps that were repeated after a resume count once, as they
        were the last time; where one task of a programming run ends and the next begins, there is
        one of each.

        Returns:
            float64 (S, N, K): S recorded steps, N blocks, K components; S is 0 before the first.
        """
        weights = [event["weights"] for event in self._mixtures()]
        if not weights:
            return np.zeros((0, self.config.n_blocks, len(self.config.components)))
        return np.array(weights, dtype=np.float64)

    @property
    def mixture_steps(self) -> np.ndarray:
        """The steps of `mixture_history`, int64 (S,)."""
        return np.array([event["step"] for event in self._mixtures()], dtype=np.int64)

    def _mixtures(self) -> list[Mapping[str, Any]]:
        of_task = last_per_step_by_task(self.events(), "mixture")
        return [event for own in of_task.values() for event in own]

    def took(self) -> float | None:
        """Seconds that workers were at it, without the pauses before it was resumed.

        None before the first event.
        """
        return self._thinned.seconds()

    def losses(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps, int64 (S,), and their training losses in nats per token, float64 (S,).

        A loss that was not finite is NaN. Repeated steps count once, as they were the last time.
        """
        events = last_per_step(self.events(), "step")
        steps = np.array([event["step"] for event in events], dtype=np.int64)
        losses = np.array([event.get("loss") for event in events], dtype=np.float64)
        return steps, losses

    def summary(self) -> dict[str, Any]:
        """The run in one flat row, for tables and status lines.

        Returns:
            `id`, `name`, `stage`, `state`, `message`, `components`, `n_blocks`, `builds` (whether
            the worker builds the hybrid), `created`, `step`, `total_steps`, `loss`, `tokens_per_s`,
            `eta_s`, `task` (the current one of programming), `metrics` (of the last evaluation) and
            `remedy`. What is not known yet is None.
        """
        last, status = self.newest_events(), self.status
        step, failed = last.get("step", {}), last.get("failed", {})
        return {
            "id": self.id,
            "name": self.name or None,
            "stage": self.config.stage,
            "state": status.state,
            "message": state_message(status),
            "components": list(self.config.components),
            "n_blocks": self.config.n_blocks,
            "builds": self.config.start is None,
            "created": status.created,
            "step": step.get("step"),
            "total_steps": last.get("stage", {}).get("total_steps"),
            "loss": step.get("loss"),
            "tokens_per_s": step.get("tokens_per_s"),
            "eta_s": step.get("eta_s") if status.is_active else None,
            "task": None if status.state == "done" else step.get("task"),
            "metrics": last.get("eval", {}).get("metrics"),
            "remedy": failed.get("remedy") if status.state == "failed" else None,
        }

    def metrics(self) -> dict[str, Any]:
        """What the run measured in the end.

        Raises:
            FileNotFoundError: The run has not come to its end.
        """
        path = self.folder / RESULT_FOLDER / METRICS_FILE
        if not path.is_file():
            raise self._nothing_yet("result", "its end")
        return json.loads(path.read_text(encoding="utf-8"))

    def _nothing_yet(self, what: str, until: str) -> FileNotFoundError:
        remedy = f"wait for {until}" if self.is_alive else f"resume it, and wait for {until}"
        return FileNotFoundError(
            f"Run {self.id} ({self.status.state}) has no {what} yet: {remedy}."
        )

    def __repr__(self) -> str:
        row = self.summary()
        return (
            f"{type(self).__name__}({self.id!r}, {_progress(row)}, components={row['components']})"
        )

    def _repr_html_(self) -> str:
        from manticore.views.objects_html import run_html  # views stand on the engine

        return run_html(self.summary(), self.thinned_events()[0])


@lru_cache(maxsize=4096)
def _read_config(path: Path, _changed: int, _size: int) -> RunConfig:
    """The configuration in a file, read once: lists of runs ask for all of them again and again."""
    return RunConfig.model_validate_json(path.read_bytes())


def state_message(status: Status) -> str:
    """What a state means, in addition to its name.

    Args:
        status: Status of a run.
    """
    if status.state == "died":
        return "Its process was killed, or the machine ran out of memory or went down: resume it."
    return status.message


def _progress(row: dict[str, Any]) -> str:
    said = [row["state"]]
    if row["step"] is not None:
        loss = "not finite" if row["loss"] is None else f"{row['loss']:.3f}"
        said += [f"step {row['step']} of {row['total_steps']}", f"loss {loss}"]
    return ", ".join(said)

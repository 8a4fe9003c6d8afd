"""One training of the suite: a model from nothing on a task, resumable."""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from manticore.config.search import SearchConfig
from manticore.config.setting import Setting
from manticore.config.training import MIXED_PRECISION
from manticore.data.cache import digest
from manticore.names import STRATEGIES
from manticore.search.strategy import Strategy
from manticore.store.events import EventWriter, last_per_step, read_events
from manticore.suite.interrupts import SAVED
from manticore.suite.protocol import Cell, Regime
from manticore.suite.stacks import build_stack, find_stack, live_parameters
from manticore.tasks.data import TaskData, make_task
from manticore.tasks.measuring import measure
from manticore.train.groups import parameter_groups
from manticore.train.loop import DivergedError, Loop, LoopOptions

CHECKPOINT_EVERY = 500
"""Steps that a kill can cost."""


def identity_of(cell: Cell) -> tuple[str, dict[str, Any]]:
    """The id of a training's result, and what it is made of."""
    fields = cell.model_dump(mode="json", exclude_none=True)
    if not find_stack(cell.model).searched:
        # The same training at any learning rate of what it has not.
        fields["mixture_lr"] = Regime.model_fields["mixture_lr"].default
    return digest(fields), fields


def result_of(
    cell: Cell,
    folder: Path,
    device: torch.device,
    report: Callable[[int, float | None], object],
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train, or go on with a training that was interrupted, and say what came of it.

    Args:
        cell: What to train, and how.
        folder: Of the suite; where the training stands is kept in it, until it is forgotten.
        device: Where.
        report: Called after each step with their number, and the accuracy last measured.
        interrupted: Asked after each step.

    Returns:
        A line of results: its `id` and `cell`, the `accuracy` on the test examples at the end and
        the `step` of it, live `parameters`, the `mixture_weights` (N, K), None if they are no
        numbers any more, whether it `diverged`, the `device`, and the `seconds` that it took, all
        its parts together.

    Raises:
        KeyboardInterrupt: `interrupted` said so; where the training stands is saved.
    """
    id_, fields = identity_of(cell)
    working = _working_folder(folder, id_)
    working.mkdir(parents=True, exist_ok=True)
    data = _data(cell.setting, cell.seed)
    with EventWriter(working) as events:
        events.emit("stage", name="mad", total_steps=cell.steps)
        course = _Course(cell, data, working, device, events, report)
        if not course.ended():
            course.run(interrupted)
        if not course.ended():
            raise KeyboardInterrupt(SAVED)
        seconds = round(_seconds(read_events(working)[0]), 1)
    on = device.type if device.type == "cpu" else torch.cuda.get_device_name(device)
    return {"id": id_, **course.last, "seconds": seconds, "cell": fields, "device": on}


def forget(folder: Path, id_: str) -> None:
    """Remove what a training needed to go on, if it is there: its result is kept elsewhere."""
    shutil.rmtree(_working_folder(folder, id_), ignore_errors=True)


def _working_folder(folder: Path, id_: str) -> Path:
    return folder / "unfinished" / id_


@lru_cache(maxsize=1)
def _data(setting: Setting, seed: int) -> TaskData:
    """Of the models that follow each other on a setting."""
    return make_task(setting.task, setting, seed)


def _seconds(events: Sequence[Mapping[str, Any]]) -> float:
    """Time from the beginning to the last word of each part of a training."""
    total, began = 0.0, math.inf
    for event, following in pairwise([*events, {"kind": "stage"}]):
        if event["kind"] == "stage":
            began = event["time"]
        if following["kind"] == "stage":
            total += max(0.0, event["time"] - began)
    return total


class _Course:
    """A training and what was measured of it so far."""

    def __init__(
        self,
        cell: Cell,
        data: TaskData,
        folder: Path,
        device: torch.device,
        events: EventWriter,
        report: Callable[[int, float | None], object],
    ) -> None:
        self.cell, self.data, self.folder, self.device = cell, data, folder, device
        self.events, self.report = events, report
        steps, measured = (last_per_step(events.earlier, kind) for kind in ("step", "eval"))
        self.step = steps[-1]["step"] if steps else 0
        self.last: dict[str, Any] | None = measured[-1]["metrics"] if measured else None
        # So seldom that measuring takes at most a sixth of the time, a forward pass being a third
        # of a step.
        epochs = math.ceil(2 * cell.setting.test_examples / cell.setting.train_examples)
        self.measure_every = epochs * cell.steps_per_epoch

    def ended(self) -> bool:
        """Whether there is nothing left to learn, or no step left."""
        if self.last is None:
            return False
        enough = self.last["accuracy"] >= self.cell.enough
        return enough or self.last["diverged"] or self.last["step"] == self.cell.steps

    def run(self, interrupted: Callable[[], bool]) -> None:
        cell = self.cell
        size = {"width": cell.width, "n_blocks": cell.n_blocks}
        self.hybrid = build_stack(cell.model, self.data, cell.seed, **size).to(self.device)
        self.parameters = live_parameters(self.hybrid)
        options = _options(cell)
        strategy = STRATEGIES.load(options.strategy)(options, cell.seed)
        strategy.begin(self.hybrid)
        loop = self._loop(options, strategy)
        try:
            loop.run(lambda step: None, self._step_done, lambda: self.ended() or interrupted())
        except DivergedError:
            self._measure(self.step, diverged=True)
        loop.accelerator.free_memory()

    def _loop(self, options: SearchConfig, strategy: Strategy) -> Loop:
        return Loop(
            self.hybrid,
            parameter_groups(self.hybrid, options, strategy.shared_parameters()),
            self.data.train,
            LoopOptions(
                steps=options.steps,
                batch_size=options.batch_size,
                warmup_steps=options.warmup_steps,
                max_grad_norm=options.max_grad_norm,
                watch_every=options.steps,
                checkpoint_every=CHECKPOINT_EVERY,
                seed=self.cell.seed,
                mixed_precision=MIXED_PRECISION[self.cell.dtype],
                cpu=self.device.type == "cpu",
            ),
            self.folder,
            self.events,
            strategy,
        )

    def _step_done(self, step: int, loss: float) -> None:
        self.step = step
        if step % self.measure_every == 0 or step == self.cell.steps:
            self._measure(step)
        self.report(step, self.last and self.last["accuracy"])

    def _measure(self, step: int, diverged: bool = False) -> None:
        alpha = self.hybrid.mixture_weights
        self.last = {
            "accuracy": measure(self.hybrid, self.data.test)["accuracy"],
            "step": step,
            "parameters": self.parameters,
            "mixture_weights": alpha.tolist() if alpha.isfinite().all() else None,
            "diverged": diverged,
        }
        self.events.emit("eval", step=step, metrics=self.last)


def _options(cell: Cell) -> SearchConfig:
    searched = {"mixture_lr": cell.mixture_lr} if find_stack(cell.model).searched else {}
    return SearchConfig(
        strategy="darts" if searched else "fixed",
        steps=cell.steps,
        batch_size=cell.batch_size,
        component_lr=cell.learning_rate,
        projector_lr=cell.learning_rate,
        weight_decay=cell.weight_decay,
        warmup_steps=cell.warmup_steps,
        **searched,
    )

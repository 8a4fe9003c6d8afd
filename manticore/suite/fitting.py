"""Fitting one trial of the suite: an untrained model on a task, resumable."""

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
from manticore.suite.protocol import Regime, Trial
from manticore.suite.stacks import build_stack, find_stack, live_parameters
from manticore.tasks.data import Examples, TaskData, make_task
from manticore.tasks.measuring import chance_accuracy, measure
from manticore.train.groups import parameter_groups
from manticore.train.loop import DivergedError, Loop, LoopOptions

MEASURED_AT_ONCE = 128
"""Examples of a MAD task that are measured at a time."""
CHECKPOINT_EVERY = 500
"""Steps between checkpoints: the most that a kill can cost."""


def identity_of(trial: Trial) -> tuple[str, dict[str, Any]]:
    """The id of a trial's result, and the fields that it is a digest of."""
    fields = trial.model_dump(mode="json", exclude_none=True)
    if not find_stack(trial.model).searched:
        # A model without mixture weights is the same at any learning rate of them.
        fields["mixture_lr"] = Regime.model_fields["mixture_lr"].default
    return digest(fields), fields


def fit_trial(
    trial: Trial,
    folder: Path,
    device: torch.device,
    report: Callable[[int, float | None], object] = lambda step, accuracy: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train a model, or resume a training that was interrupted, and return the result.

    Args:
        trial: What to train, and how.
        folder: Folder of the suite; the state of training is kept in it until `forget`.
        device: Device to train on.
        report: Called after each step with the number of steps, and the accuracy last measured.
        should_stop: Called after each step; True saves the state and ends the training.

    Returns:
        A line of results: its `id` and `trial`, the `accuracy` at the end, on the examples to
        choose by, with the `test_accuracy` and the accuracy by `chance` where these are others than
        the test examples, and the `step` of it, the number of live `parameters`, the
        `mixture_weights` (N, K), None if they are not finite, whether it `diverged`, the `device`,
        and the `seconds` that it took, all its parts together.

    Raises:
        KeyboardInterrupt: `should_stop` returned True; the state of training is saved.
    """
    id_, fields = identity_of(trial)
    working = working_folder(folder, id_)
    working.mkdir(parents=True, exist_ok=True)
    setting: Any = trial.setting  # frozen, and so hashable
    data = _data(setting, trial.seed)
    with EventWriter(working) as events:
        events.emit("stage", name=trial.setting.task, total_steps=trial.steps)
        fit = _Fit(trial, data, working, device, events, report)
        if not fit.ended():
            fit.run(should_stop)
        if fit.last is None or not fit.ended():
            raise KeyboardInterrupt(SAVED)
        seconds = round(_seconds(read_events(working)[0]), 1)
    on = device.type if device.type == "cpu" else torch.cuda.get_device_name(device)
    return {"id": id_, **fit.last, "seconds": seconds, "trial": fields, "device": on}


def forget(folder: Path, id_: str) -> None:
    """Remove the state of a training whose result is kept elsewhere, if it is there."""
    shutil.rmtree(working_folder(folder, id_), ignore_errors=True)


def working_folder(folder: Path, id_: str) -> Path:
    """Folder of the events and the state of a training, in the folder of the suite."""
    return folder / "unfinished" / id_


@lru_cache(maxsize=1)
def _data(setting: Setting, seed: int) -> TaskData:
    """Data of the last setting, kept so that the next model reuses it."""
    return make_task(setting.task, setting, seed)


def _seconds(events: Sequence[Mapping[str, Any]]) -> float:
    """Time from the first to the last event of each part of a training, in total."""
    total, began = 0.0, math.inf
    ends: list[Mapping[str, Any]] = [*events, {"kind": "stage"}]
    for event, following in pairwise(ends):
        if event["kind"] == "stage":
            began = event["time"]
        if following["kind"] == "stage":
            total += max(0.0, event["time"] - began)
    return total


class _Fit:
    """A training, and what was measured of it so far."""

    def __init__(
        self,
        trial: Trial,
        data: TaskData,
        folder: Path,
        device: torch.device,
        events: EventWriter,
        report: Callable[[int, float | None], object],
    ) -> None:
        self.trial, self.data, self.folder, self.device = trial, data, folder, device
        self.events, self.report = events, report
        steps, measured = (last_per_step(events.earlier, kind) for kind in ("step", "eval"))
        self.step = steps[-1]["step"] if steps else 0
        self.last: dict[str, Any] | None = measured[-1]["metrics"] if measured else None
        # So rarely that measuring takes at most a sixth of the time, a forward pass being a third
        # of a step.
        measured_on = len(data.test) + (0 if data.held_out is None else len(data.held_out))
        epochs = math.ceil(2 * measured_on / trial.setting.train_examples)
        self.measure_every = epochs * trial.steps_per_epoch

    def ended(self) -> bool:
        """Whether there is nothing left to learn, or no step left."""
        if self.last is None:
            return False
        enough = self.last["accuracy"] >= self.trial.enough
        return enough or self.last["diverged"] or self.last["step"] == self.trial.steps

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Train until it has ended, or `should_stop` returns True."""
        trial = self.trial
        self.hybrid = build_stack(
            trial.model,
            self.data,
            trial.seed,
            width=trial.width,
            n_blocks=trial.n_blocks,
            as_large_as=trial.as_large_as,
        ).to(self.device)
        self.parameters = live_parameters(self.hybrid)
        options = _options(trial)
        strategy = STRATEGIES.load(options.strategy)(options, trial.seed)
        strategy.begin(self.hybrid)
        loop = self._loop(options, strategy)
        try:
            loop.run(lambda step: None, self._step_done, lambda: self.ended() or should_stop())
        except DivergedError:
            self._measure(self.step, diverged=True)
        loop.accelerator.free_memory()

    def _loop(self, options: SearchConfig, strategy: Strategy) -> Loop:
        return Loop(
            self.hybrid,
            parameter_groups(self.hybrid, options, strategy.shared_groups()),
            self.data.train,
            LoopOptions(
                steps=options.steps,
                batch_size=options.batch_size,
                warmup_steps=options.warmup_steps,
                max_grad_norm=options.max_grad_norm,
                watch_every=options.steps,
                checkpoint_every=CHECKPOINT_EVERY,
                seed=self.trial.seed,
                mixed_precision=MIXED_PRECISION[self.trial.dtype],
                cpu=self.device.type == "cpu",
            ),
            self.folder,
            self.events,
            strategy,
        )

    def _step_done(self, step: int, loss: float) -> None:
        self.step = step
        if step % self.measure_every == 0 or step == self.trial.steps:
            self._measure(step)
        self.report(step, None if self.last is None else self.last["accuracy"])

    def _measure(self, step: int, diverged: bool = False) -> None:
        alpha = self.hybrid.mixture_weights
        tested = {}
        if self.data.held_out is not None:
            tested["test_accuracy"] = self._accuracy(self.data.test)
            tested["chance"] = chance_accuracy(self.data)
        self.last = {
            "accuracy": self._accuracy(self.data.valid),
            **tested,
            "step": step,
            "parameters": self.parameters,
            "mixture_weights": alpha.tolist() if alpha.isfinite().all() else None,
            "diverged": diverged,
        }
        self.events.emit("eval", step=step, metrics=self.last)

    def _accuracy(self, examples: Examples) -> float:
        # Long sequences fit into memory as many at a time as they are trained on.
        size = MEASURED_AT_ONCE if self.data.held_out is None else self.trial.batch_size
        return measure(self.hybrid, examples, batch_size=size)["accuracy"]


def _options(trial: Trial) -> SearchConfig:
    options = {
        "strategy": "fixed",
        "steps": trial.steps,
        "batch_size": trial.batch_size,
        "component_lr": trial.learning_rate,
        "projector_lr": trial.learning_rate,
        "weight_decay": trial.weight_decay,
        "warmup_steps": trial.warmup_steps,
    }
    if find_stack(trial.model).searched:
        options |= {"strategy": "darts", "mixture_lr": trial.mixture_lr}
    return SearchConfig.model_validate(options)

"""Trials of a suite, one after the other or several at a time, each trained only once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState

from manticore.config.setting import Setting
from manticore.names import Entry, Registry
from manticore.suite.fitting import fit_trial, forget, identity_of, working_folder
from manticore.suite.grid import Grid, run_groups
from manticore.suite.interrupts import SAVED, deferred_interrupt
from manticore.suite.pool import training_pool
from manticore.suite.progress import Following, Progress, Standing
from manticore.suite.protocol import DEFAULT_MODELS, Trial
from manticore.suite.scores import Suite
from manticore.suite.stacks import find_stack
from manticore.train.devices import use_device

RESULTS_FILE = "results.jsonl"
Report = Callable[[Progress], object]


def run_trials(
    trials: Iterable[Trial], folder: Path, device: str, jobs: int, report: Report
) -> Suite:
    """Train what is not trained yet.

    Args:
        trials: All trials; those of which only the best counts follow each other.
        folder: Folder of the results.
        device: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.
        jobs: Number of models that are trained at a time, each in its own process.
        report: Called after every step; with several jobs, a few times a second for each.

    Raises:
        ValueError: No such device, or fewer than 1 job.
        ChildProcessError: One of several jobs failed; finished trials are kept.
        BlockingIOError: Another suite is at work in the folder.
        KeyboardInterrupt: Ctrl-C; all training under way is saved first, as the error says, unless
            Ctrl-C comes twice.
    """
    if jobs < 1:
        raise ValueError(f"jobs={jobs} trains nothing: give 1 or more.")
    used = use_device(device)
    with (
        Grid(folder / RESULTS_FILE, ("accuracy", "parameters")) as grid,
        deferred_interrupt() as interrupted,
    ):
        # Accelerate's state belongs to the process, which may have had another device or type.
        AcceleratorState._reset_state(reset_partial_state=True)
        running = _Running(list(dict.fromkeys(trials)), grid, folder, used, report)
        running.fit(jobs, interrupted)
        return Suite(running.outcomes(), grid.path)


def chosen_models(models: Sequence[str] | str | None, changes: Mapping[str, Any]) -> list[str]:
    """The models of a call, each once.

    Args:
        models: Their names, or one; the default ones if not given.
        changes: Fields of the protocol that the call changes.

    Raises:
        ValueError: No such model, or a learning rate of mixture weights that none of them has.
    """
    models = [models] if isinstance(models, str) else models or DEFAULT_MODELS
    searched = [model for model in models if find_stack(model).searched]
    if "mixture_lr" in changes and not searched:
        raise ValueError(
            f"{', '.join(models)} do not use mixture_lr: leave it out, or add a hybrid, such as "
            "gpt_neo+mamba, whose mixture weights are searched."
        )
    return list(dict.fromkeys(models))


def chosen_settings(
    settings: list[Setting],
    tasks: Iterable[str] | str | None,
    preset: str,
    known: Registry[Entry],
) -> list[Setting]:
    """The settings of a call.

    Args:
        settings: Those of the preset.
        known: All tasks of the suite.
        tasks: Names of tasks, or one; all of the preset if not given.
        preset: Name of the preset, for messages.

    Raises:
        ValueError: No such task, or one that the preset leaves out.
    """
    if not tasks:
        return settings
    tasks = [tasks] if isinstance(tasks, str) else list(tasks)
    of_preset = {setting.task: None for setting in settings}
    for task in tasks:
        known.find(task)
        if task not in of_preset:
            raise ValueError(
                f"The preset {preset!r} leaves out {task}: choose from {', '.join(of_preset)}."
            )
    return [setting for setting in settings if setting.task in tasks]


class _Running:
    """Trials in groups of which only the best counts, and what is known of them."""

    def __init__(
        self,
        trials: list[Trial],
        grid: Grid,
        folder: Path,
        device: torch.device,
        report: Callable[[Progress], object],
    ) -> None:
        self.grid, self.folder, self.device = grid, folder, device
        self.groups = [list(own) for _, own in groupby(trials, key=lambda trial: trial.group)]
        self.missing = [left for group in self.groups if (left := self._missing(group))]
        left = [trial for group in self.missing for trial in group]
        self.standing = Standing(trials, left, report)

    def fit(self, jobs: int, interrupted: Callable[[], bool]) -> None:
        """Fit what is missing, several groups at a time in processes if there are several jobs."""
        jobs = min(jobs, len(self.missing))
        if jobs <= 1:
            run_groups(self.missing, lambda trial: self._fit_here(trial, interrupted), self._over)
        else:
            self._fit_in_processes(jobs, interrupted)

    def outcomes(self) -> list[dict[str, Any]]:
        """Results of all trials; those that were not needed have none."""
        found = []
        for group in self.groups:
            for trial in group:
                result = self._result(trial)
                if result is None:
                    break
                found.append({**result, "trial": trial})
                if result["accuracy"] >= trial.enough:
                    break
        return found

    def _fit_here(
        self, trial: Trial, interrupted: Callable[[], bool]
    ) -> "Future[dict[str, Any] | None]":
        def report(step: int, accuracy: float | None) -> None:
            self.standing.at(trial, step, accuracy)

        future: Future[dict[str, Any] | None] = Future()
        future.set_result(fit_trial(trial, self.folder, self.device, report, interrupted))
        return future

    def _fit_in_processes(self, jobs: int, interrupted: Callable[[], bool]) -> None:
        following: dict[Trial, Following] = {}
        failures: list[str] = []
        with training_pool(jobs, self.folder, self.device) as pool:

            def start(trial: Trial) -> "Future[dict[str, Any] | None]":
                folder = working_folder(self.folder, identity_of(trial)[0])
                following[trial] = Following(trial, folder)
                return pool.submit(trial)

            def over(trial: Trial, future: "Future[dict[str, Any] | None]") -> bool:
                del following[trial]
                if (error := future.exception()) is not None:
                    failures.append(_failure(trial, error))
                    return True
                return self._over(trial, future)

            def should_stop() -> bool:
                for each in following.values():
                    each.tell(self.standing)
                if interrupted() or failures:
                    pool.stop()
                    return True
                return False

            whole = run_groups(self.missing, start, over, jobs, should_stop)
        if failures:
            raise ChildProcessError(
                f"{failures[0]} Finished trials are kept, and the same call continues from there."
            )
        if not whole:
            raise KeyboardInterrupt(SAVED)

    def _over(self, trial: Trial, future: "Future[dict[str, Any] | None]") -> bool:
        result = future.result()
        if result is None:  # stopped before its end
            return True
        self.grid.add(result)
        forget(self.folder, result["id"])
        self.standing.over(trial, result["accuracy"])
        decided = result["accuracy"] >= trial.enough
        if decided:
            (group,) = (group for group in self.missing if trial in group)
            for other in group[group.index(trial) + 1 :]:
                self.standing.over(other, result["accuracy"])
        return decided

    def _missing(self, group: list[Trial]) -> list[Trial]:
        """What is left to do of trials of which only the best counts."""
        left = []
        for trial in group:
            result = self._result(trial)
            if result is None:
                left.append(trial)
                continue
            # A kill can come between a result and the removal of what is no longer needed.
            forget(self.folder, result["id"])
            if result["accuracy"] >= trial.enough:
                break
        return left

    def _result(self, trial: Trial) -> dict[str, Any] | None:
        return self.grid.results.get(identity_of(trial)[0])


def _failure(trial: Trial, error: BaseException) -> str:
    what = f"Training {trial.model} on {trial.setting.task} failed: "
    if isinstance(error, BrokenProcessPool):
        return (
            f"{what}a process ended unexpectedly. If there was too little memory, use fewer jobs; "
            'in a script, call the suite under `if __name__ == "__main__":`.'
        )
    return f"{what}{type(error).__name__}: {error}"

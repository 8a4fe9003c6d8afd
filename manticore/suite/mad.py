"""The MAD suite: untrained models on MAD tasks, under one protocol."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from accelerate.state import AcceleratorState

from manticore.config.setting import Setting, preset_settings
from manticore.store.layout import runs_root
from manticore.suite.fitting import fit_trial, forget, identity_of, working_folder
from manticore.suite.grid import Grid, run_groups
from manticore.suite.interrupts import SAVED, deferred_interrupt
from manticore.suite.pool import training_pool
from manticore.suite.progress import Following, Progress, Standing
from manticore.suite.protocol import DEFAULT_MODELS, PROTOCOLS, Protocol, Trial, task_scores
from manticore.suite.stacks import find_stack
from manticore.tasks.data import make_task
from manticore.tasks.measuring import chance_accuracy
from manticore.tasks.task import find_task
from manticore.train.devices import use_device

SUITE_FOLDER = "mad"
RESULTS_FILE = "results.jsonl"


@dataclass(frozen=True)
class Suite:
    """What a suite has found.

    Attributes:
        outcomes: Result of each trial: its `trial`, `accuracy`, `parameters`, `mixture_weights`
            (N, K) and more, as in the file.
        path: Path of the file.
    """

    outcomes: list[dict[str, Any]]
    path: Path

    def rows(self) -> list[dict[str, Any]]:
        """The scores of each model.

        Returns:
            For each model its name `model`, the smallest and largest number of live `parameters`
            and, by task in `tasks` and over all tasks in `mean`: the `score` (mean over seeds), its
            `spread` (standard deviation over seeds; None for one seed) and the scores `by_seed`.
        """
        scores = task_scores(self.outcomes)
        return [self._row(model, scores) for model in dict.fromkeys(model for model, _ in scores)]

    def chance(self) -> dict[str, float]:
        """By task, the chance accuracy: the mean over settings."""
        by_task: dict[str, list[float]] = {}
        for setting in dict.fromkeys(outcome["trial"].setting for outcome in self.outcomes):
            data = make_task(setting.task, setting)
            by_task.setdefault(setting.task, []).append(chance_accuracy(data))
        return {task: mean(shares) for task, shares in by_task.items()}

    def _row(self, model: str, scores: dict[tuple[str, str], dict[int, float]]) -> dict[str, Any]:
        own = {task: by_seed for (name, task), by_seed in scores.items() if name == model}
        sizes = [o["parameters"] for o in self.outcomes if o["trial"].model == model]
        seeds = next(iter(own.values()))
        means = {seed: mean(by_seed[seed] for by_seed in own.values()) for seed in seeds}
        return {
            "model": model,
            "parameters": (min(sizes), max(sizes)),
            "tasks": {task: _over_seeds(by_seed) for task, by_seed in own.items()},
            "mean": _over_seeds(means),
        }


def mad_suite(
    preset: str = "quick",
    models: Sequence[str] | str | None = None,
    tasks: Sequence[str] | str | None = None,
    *,
    seeds: Sequence[int] | None = None,
    folder: str | Path | None = None,
    device: str = "auto",
    jobs: int = 1,
    report: Callable[[Progress], object] = lambda progress: None,
    **protocol: Any,
) -> Suite:
    """Train untrained models on MAD tasks and score them (Poli et al., arXiv 2403.17844).

    Each finished trial is a line of `results.jsonl` in the folder, and is not trained again, no
    matter which call it belonged to: the same call continues where an earlier one was interrupted.

    Args:
        preset: Settings and protocol: `quick` (minutes on two cores), `baseline`, `full` (all
            difficulty settings) or `paper`.
        models: Names in `manticore.suite.stacks.STACKS`, or FAMILY+FAMILY.
        tasks: Names of tasks; all tasks of the preset if not given.
        seeds: Random seeds, with a score for each; the preset's if not given.
        folder: Folder of the results; `mad` in the folder of runs if not given.
        device: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.
        jobs: Number of models that are trained at a time, each in its own process. On the CPU they
            share its cores, so that sums may be taken in a different order, and more jobs than
            cores gain nothing; a GPU has room for many. A script that asks for several must call
            this under `if __name__ == "__main__":`.
        report: Called after every step; with several jobs, a few times a second for each.
        protocol: Fields of `Protocol` in which to differ from the preset, such as `epochs`.

    Raises:
        ValueError: No such preset, model, task, device or field of the protocol; fewer than 1 job.
        ChildProcessError: One of several jobs failed; finished trials are kept.
        BlockingIOError: Another suite is at work in the folder.
        KeyboardInterrupt: Ctrl-C; all training under way is saved first, as the error says, unless
            Ctrl-C comes twice.
    """
    if jobs < 1:
        raise ValueError(f"jobs={jobs} trains nothing: give 1 or more.")
    chosen = _protocol(preset, protocol if seeds is None else {**protocol, "seeds": tuple(seeds)})
    models = [models] if isinstance(models, str) else models or DEFAULT_MODELS
    searched = [model for model in models if find_stack(model).searched]
    if "mixture_lr" in protocol and not searched:
        raise ValueError(
            f"{', '.join(models)} do not use mixture_lr: leave it out, or add a hybrid, such as "
            "gpt_neo+mamba, whose mixture weights are searched."
        )
    trials = list(dict.fromkeys(chosen.trials(dict.fromkeys(models), _settings(preset, tasks))))
    used = use_device(device)
    where = Path(folder) if folder is not None else runs_root() / SUITE_FOLDER
    with (
        Grid(where / RESULTS_FILE, ("accuracy", "parameters")) as grid,
        deferred_interrupt() as interrupted,
    ):
        # Accelerate's state belongs to the process, which may have had another device or type.
        AcceleratorState._reset_state(reset_partial_state=True)
        suite = _Suite(trials, grid, where, used, report)
        suite.fit(jobs, interrupted)
        return Suite(suite.outcomes(), grid.path)


class _Suite:
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
            'in a script, call mad_suite under `if __name__ == "__main__":`.'
        )
    return f"{what}{type(error).__name__}: {error}"


def _protocol(preset: str, changes: dict[str, Any]) -> Protocol:
    preset_settings(preset)  # an unknown preset is refused in one wording
    # A number of epochs that is given is meant as such, and not as at least the preset's steps.
    least = {"least_steps": 0} if "epochs" in changes else {}
    return Protocol(**{**PROTOCOLS[preset].model_dump(), **least, **changes})


def _settings(preset: str, tasks: Iterable[str] | str | None) -> list[Setting]:
    settings = preset_settings(preset)
    if not tasks:
        return settings
    tasks = [tasks] if isinstance(tasks, str) else list(tasks)
    of_preset = {setting.task for setting in settings}
    for task in tasks:
        find_task(task)
        if task not in of_preset:
            raise ValueError(
                f"The preset {preset!r} leaves out {task}: choose from {', '.join(of_preset)}."
            )
    return [setting for setting in settings if setting.task in tasks]


def _over_seeds(by_seed: dict[int, float]) -> dict[str, Any]:
    scores = list(by_seed.values())
    return {
        "score": mean(scores),
        "spread": stdev(scores) if len(scores) > 1 else None,
        "by_seed": by_seed,
    }

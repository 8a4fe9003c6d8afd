"""The suite: models from nothing on MAD tasks, under one protocol."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from accelerate.state import AcceleratorState
from filelock import FileLock, Timeout

from manticore.config.setting import Setting, preset_settings
from manticore.store.layout import runs_root
from manticore.suite.interrupts import deferred_interrupt
from manticore.suite.jobs import train_at_once
from manticore.suite.protocol import DEFAULT_MODELS, PROTOCOLS, Cell, Protocol, task_scores
from manticore.suite.results import Results
from manticore.suite.stacks import find_stack
from manticore.suite.trial import forget, identity_of, result_of
from manticore.tasks.data import make_task
from manticore.tasks.measuring import chance_accuracy
from manticore.tasks.task import find_task
from manticore.train.devices import use_device

SUITE_FOLDER = "mad"
_LOCK_FILE = "suite.lock"


@dataclass(frozen=True)
class Progress:
    """How far a suite is.

    Attributes:
        cell: The training under way, or just left out, as its setting has a score already.
        step: Optimizer steps done of it.
        accuracy: Last measured; None before that.
        finished, total: Trainings.
        share: Of all tokens to train on, how many are done, from 0 to 1.
    """

    cell: Cell
    step: int
    accuracy: float | None
    finished: int
    total: int
    share: float


@dataclass(frozen=True)
class Suite:
    """What a suite has found.

    Attributes:
        outcomes: One for each training: its `cell`, `accuracy`, `parameters`, `mixture_weights`
            (N, K) and more, as in the file.
        path: Of the file.
    """

    outcomes: list[dict[str, Any]]
    path: Path

    def rows(self) -> list[dict[str, Any]]:
        """For each model: `model`, live `parameters` (least, most), and by task in `tasks`, and in
        `mean` over the tasks, the `score` (mean over seeds), `spread` (their standard deviation,
        None of one) and `by_seed`.
        """
        scores = task_scores(self.outcomes)
        return [self._row(model, scores) for model in dict.fromkeys(model for model, _ in scores)]

    def guessing(self) -> dict[str, float]:
        """By task, what guessing comes to: the mean over settings of `chance_accuracy`."""
        by_task: dict[str, list[float]] = {}
        for setting in dict.fromkeys(outcome["cell"].setting for outcome in self.outcomes):
            data = make_task(setting.task, setting)
            by_task.setdefault(setting.task, []).append(chance_accuracy(data))
        return {task: mean(shares) for task, shares in by_task.items()}

    def _row(self, model: str, scores: dict[tuple[str, str], dict[int, float]]) -> dict[str, Any]:
        own = {task: by_seed for (name, task), by_seed in scores.items() if name == model}
        sizes = [o["parameters"] for o in self.outcomes if o["cell"].model == model]
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
    """Train models from nothing on MAD tasks and score them (Poli et al., arXiv 2403.17844).

    Each finished training is a line of `results.jsonl` in the folder. What is there is not trained
    again, whichever call it was of: the same call goes on where an earlier one was interrupted.

    Args:
        preset: Settings and protocol: `quick` (minutes on two cores), `baseline`, `full` (all
            difficulty settings) or `paper`.
        models: Of `manticore.suite.stacks.STACKS`, or FAMILY+FAMILY.
        tasks: All that the preset has if not given.
        seeds: One score for each; the preset's if not given.
        folder: `mad` in the folder of runs if not given.
        device: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.
        jobs: Models that are trained at a time, each in a process of its own. On the CPU they share
            its cores, so that sums may be taken in another order, and more jobs than cores gain
            nothing; a GPU has room for many.
        report: Called after every step; with several jobs, a few times a second for each.
        protocol: Fields of `Protocol` that are to differ from the preset's, such as `epochs`.

    Raises:
        ValueError: No such preset, model, task, device or field of the protocol; no jobs.
        ChildProcessError: One of several jobs failed; what the others have done is kept.
        BlockingIOError: Another suite is at work in the folder.
        KeyboardInterrupt: Ctrl-C; the training under way is saved first, which the error says, but
            not where Ctrl-C comes twice.
    """
    if jobs < 1:
        raise ValueError(f"jobs={jobs} trains nothing: give 1 or more.")
    chosen = _protocol(preset, protocol if seeds is None else {**protocol, "seeds": tuple(seeds)})
    models = [models] if isinstance(models, str) else models or DEFAULT_MODELS
    searched = [model for model in models if find_stack(model).searched]
    if "mixture_lr" in protocol and not searched:
        raise ValueError(
            f"mixture_lr means nothing to {', '.join(models)}: leave it out, or add a hybrid, such "
            "as gpt_neo+mamba, whose mixture weights are searched."
        )
    cells = list(dict.fromkeys(chosen.cells(dict.fromkeys(models), _settings(preset, tasks))))
    used = use_device(device)
    where = Path(folder) if folder is not None else runs_root() / SUITE_FOLDER
    where.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(where / _LOCK_FILE, timeout=0), deferred_interrupt() as interrupted:
            # Accelerate's belongs to the process, which may have had another device or type.
            AcceleratorState._reset_state(reset_partial_state=True)
            results = Results(where)
            if jobs > 1:
                at_once = _AtOnce(cells, results, where, report)
                if at_once.missing:
                    at_once.run(used, jobs, interrupted)
                    report = _say_nothing
            return _run(cells, results, where, used, report, interrupted)
    except Timeout as error:
        raise BlockingIOError(
            f"Another suite is at work in {where}: wait for it, or give another folder."
        ) from error


def _run(
    cells: list[Cell],
    results: Results,
    folder: Path,
    device: torch.device,
    report: Callable[[Progress], object],
    interrupted: Callable[[], bool],
) -> Suite:
    total, before = _tokens(cells), 0
    outcomes: list[dict[str, Any]] = []
    decided: set[tuple[str, Setting, int]] = set()
    for index, cell in enumerate(cells):
        say = partial(_say, report, cell, index, len(cells), before / total, cell.tokens / total)
        if cell.contest not in decided:
            id_, _ = identity_of(cell)
            if id_ not in results.done:
                results.add(result_of(cell, folder, device, say, interrupted))
            # Also where a kill came between the result and this.
            forget(folder, id_)
            outcomes.append({**results.done[id_], "cell": cell})
            if outcomes[-1]["accuracy"] >= cell.enough:
                decided.add(cell.contest)
        before += cell.tokens
        accuracy = outcomes[-1]["accuracy"]
        report(Progress(cell, cell.steps, accuracy, index + 1, len(cells), before / total))
    return Suite(outcomes, results.path)


def _say(
    report: Callable[[Progress], object],
    cell: Cell,
    finished: int,
    total: int,
    before: float,
    own: float,
    step: int,
    accuracy: float | None,
) -> None:
    """Report a step of a cell that is `own` of the whole, with `before` done."""
    share = before + own * step / cell.steps
    report(Progress(cell, step, accuracy, finished, total, share))


def _missing(cells: list[Cell], results: Results) -> list[Cell]:
    """Of cells of which only the best counts, those that are left to do."""
    left = []
    for cell in cells:
        done = results.done.get(identity_of(cell)[0])
        if done is None:
            left.append(cell)
        elif done["accuracy"] >= cell.enough:
            break
    return left


class _AtOnce:
    """What is missing of the cells, done several contests at a time; `_run` then finds it done."""

    def __init__(
        self,
        cells: list[Cell],
        results: Results,
        folder: Path,
        report: Callable[[Progress], object],
    ) -> None:
        self.results, self.folder, self.report = results, folder, report
        contests = [list(own) for _, own in groupby(cells, key=lambda cell: cell.contest)]
        self.missing = [left for own in contests if (left := _missing(own, results))]
        left = [cell for own in self.missing for cell in own]
        self.n_cells, self.n_before = len(cells), len(cells) - len(left)
        self.tokens, self.before = _tokens(cells), _tokens(cells) - _tokens(left)
        # By contest: cells and tokens that are done of it, and the accuracy last measured.
        self.finished = [0] * len(self.missing)
        self.trained = [0.0] * len(self.missing)
        self.accuracy: list[float | None] = [None] * len(self.missing)

    def run(self, device: torch.device, jobs: int, interrupted: Callable[[], bool]) -> None:
        train_at_once(self.missing, jobs, self.folder, str(device), self._said, interrupted)

    def _said(self, contest: int, word: dict[str, Any]) -> None:
        cells = self.missing[contest]
        # When a contest has ended, what is left of it need not be done.
        number = word.get("cell", len(cells) - 1)
        cell = cells[number]
        step = cell.steps
        if "at" in word:
            step, self.accuracy[contest] = word["at"]
        elif "outcome" in word:
            self.results.add(word["outcome"])
            forget(self.folder, word["outcome"]["id"])
            self.accuracy[contest] = word["outcome"]["accuracy"]
        self.finished[contest] = number + ("at" not in word)
        self.trained[contest] = _tokens(cells[:number]) + cell.tokens * step / cell.steps
        finished = self.n_before + sum(self.finished)
        share = (self.before + sum(self.trained)) / self.tokens
        self.report(Progress(cell, step, self.accuracy[contest], finished, self.n_cells, share))


def _say_nothing(progress: Progress) -> None:
    """All of it has been said."""


def _tokens(cells: Iterable[Cell]) -> int:
    return sum(cell.tokens for cell in cells)


def _protocol(preset: str, changes: dict[str, Any]) -> Protocol:
    if preset not in PROTOCOLS:
        raise ValueError(f"There is no preset {preset!r}: choose of {', '.join(PROTOCOLS)}.")
    # So many epochs are asked for, not so many or what the preset has at least.
    least = {"least_steps": 0} if "epochs" in changes else {}
    return Protocol(**{**PROTOCOLS[preset].model_dump(), **least, **changes})


def _settings(preset: str, tasks: Iterable[str] | str | None) -> list[Setting]:
    settings = preset_settings(preset)
    if not tasks:
        return settings
    tasks = [tasks] if isinstance(tasks, str) else tasks
    there = {setting.task for setting in settings}
    for task in tasks:
        find_task(task)
        if task not in there:
            raise ValueError(f"The preset {preset} has no {task}: choose of {', '.join(there)}.")
    return [setting for setting in settings if setting.task in tasks]


def _over_seeds(by_seed: dict[int, float]) -> dict[str, Any]:
    scores = list(by_seed.values())
    return {
        "score": mean(scores),
        "spread": stdev(scores) if len(scores) > 1 else None,
        "by_seed": by_seed,
    }

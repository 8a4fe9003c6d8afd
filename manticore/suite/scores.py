"""What a suite has found: the scores of its models."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from manticore.suite.protocol import task_scores
from manticore.tasks.data import make_task
from manticore.tasks.measuring import chance_accuracy


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
        measured = {o["trial"].setting: o.get("chance") for o in self.outcomes}
        for setting, known in measured.items():
            share = known
            if share is None:
                share = chance_accuracy(make_task(setting.task, setting))
            by_task.setdefault(setting.task, []).append(share)
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


def _over_seeds(by_seed: dict[int, float]) -> dict[str, Any]:
    scores = list(by_seed.values())
    return {
        "score": mean(scores),
        "spread": stdev(scores) if len(scores) > 1 else None,
        "by_seed": by_seed,
    }

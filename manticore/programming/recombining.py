"""What a programming run makes of its tasks, and what it would make with other task weights."""

from collections.abc import Mapping
from typing import Any

from manticore.config.programming import ProgramConfig
from manticore.programming.combining import Found, combine
from manticore.programming.trust import alphas_by_task, task_agreement


def outcome(options: ProgramConfig, found: Found) -> dict[str, Any]:
    """The metrics of a programming run: results of its tasks, and what they combine to.

    Args:
        options: Options of programming; their tasks have the weights.
        found: Results of all tasks that were searched, by name of the search; tasks that `options`
            does not name are kept, and do not count.
    """
    metrics = {"tasks": dict(found), **combine(options, found)}
    if len(options.tasks) > 1:
        alphas = alphas_by_task(found)
        weighted = {task: alphas[task] for task in options.tasks}
        metrics["agreement"] = task_agreement(weighted, options.tasks)
    return metrics


def with_weights(
    options: ProgramConfig, found: Found, weights: Mapping[str, float]
) -> ProgramConfig:
    """The options with other task weights.

    Args:
        options: Options of a programming run.
        found: Results of the tasks that it has searched.
        weights: Weight of each task; those at 0, and those that were not searched, are left out.

    Raises:
        ValueError: Nothing is left.
    """
    searched = dict.fromkeys(result["setting"]["task"] for result in found.values())
    tasks = {task: weights[task] for task in searched if weights.get(task, 0) > 0}
    if not tasks:
        raise ValueError(
            "All tasks that were searched have the weight 0: raise the weight of one of "
            f"{', '.join(searched)}."
        )
    settings = {task: changes for task, changes in options.settings.items() if task in tasks}
    given = options.model_dump() | {"tasks": tasks, "settings": settings}
    return ProgramConfig.model_validate(given)

"""The stage `program`: mixture weights from MAD tasks, carried to the hybrid they are for.

The paper (section 3.3) programs a hybrid by searching on MAD tasks instead of on its target. Each
task here has a search of its own, on the hybrid's own blocks with fresh embeddings and head, and so
mixture weights of its own; they are combined by the skills that the person wants.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from accelerate.utils.memory import clear_device_cache

from manticore.config.programming import Combination, Job, ProgramConfig
from manticore.programming.combining import above_guessing, best_task, fit_lengths, weighted_mean
from manticore.programming.fresh import check_length, hybrid_for_task
from manticore.programming.trust import alphas_by_task, task_agreement
from manticore.store.events import EventWriter, Section, read_events
from manticore.store.files import write_json
from manticore.store.layout import CHECKPOINTS_FOLDER, HYBRID_FOLDER, RESULT_FOLDER, TASKS_FOLDER
from manticore.tasks.data import make_task
from manticore.tasks.measuring import guessing_accuracy, measure
from manticore.train.devices import use_device
from manticore.train.sharding import sharding_is_asked_for
from manticore.train.tracking import require_trackers, tracked
from manticore.train.training import (
    Training,
    save_whole,
    starting_hybrid,
    stop_before_training,
    write_metrics,
)

if TYPE_CHECKING:
    from manticore.config.run import RunConfig
    from manticore.hybrid import ManticoreForCausalLM

NOTHING_LEARNED = 0.05
"""Share of what guessing leaves open that is no more than luck."""


def program(
    folder: Path, config: "RunConfig", events: EventWriter, should_stop: Callable[[], bool]
) -> bool:
    """Search on each task, combine the mixture weights, and carry them to the hybrid.

    Writes `tasks/NAME.json` after each task, `result/hybrid` (the hybrid as it was, at the combined
    mixture weights) and `result/metrics.json`.

    Args:
        folder: The run's folder.
        config: What to do.
        events: The run's event stream.
        should_stop: Asked after every step.

    Returns:
        Whether it came to its end.

    Raises:
        ValueError: A task that is too long for a component, or shards are asked for.
    """
    options = config.options
    require_trackers(config.trackers)
    if sharding_is_asked_for():
        raise ValueError(
            "Programming trains another hybrid for each task, and FSDP shards one: run it without."
        )
    processes = PartialState(cpu=use_device(config.device).type == "cpu")
    with processes.main_process_first():
        target = starting_hybrid(folder, config, events).to(processes.device)
    jobs = options.jobs()
    for job in jobs:
        # Now, not after the tasks before it were searched; one example is as long as many.
        small = job.setting.model_copy(update={"train_examples": 1, "test_examples": 1})
        check_length(target, make_task(small.task, small, config.seed))
    total = len(jobs) * options.steps
    events.emit("stage", name="program", total_steps=total)
    if options.lengths and not any(event["kind"] == "step" for event in read_events(folder)[0]):
        _warn_of_lengths(options, events)
    found: dict[str, dict[str, Any]] = {}
    for index, job in enumerate(jobs):
        if stop_before_training(should_stop):
            return False
        later = options.steps * sum(other.setting.length for other in jobs[index + 1 :])
        section = Section(
            index * options.steps, job.name, {"task": job.name}, later / job.setting.length
        )
        result = _search(job, target, folder, config, events, should_stop, section)
        # The hybrid of a task and its optimizer are in circles, and the next task has its own.
        clear_device_cache(garbage_collection=True)
        if result is None:
            return False
        found[job.name] = result
    metrics = {"tasks": found, **_combine(options, jobs, found)}
    if len(options.tasks) > 1:
        metrics["agreement"] = task_agreement(alphas_by_task(found), options.tasks)
    target.set_mixture_weights(metrics["mixture_weights"])
    with tracked(events, folder, config) as everywhere:
        everywhere.emit(
            "mixture",
            step=total,
            weights=target.mixture_weights,
            components=target.component_names,
            task="combined",
        )
    if processes.is_main_process:
        save_whole(target, folder / RESULT_FOLDER / HYBRID_FOLDER)
        write_metrics(folder, metrics)
    processes.destroy_process_group()
    return True


def _warn_of_lengths(options: ProgramConfig, events: EventWriter) -> None:
    """Say so where a target is further than one doubling from the lengths that were searched."""
    least, most = min(options.lengths), max(options.lengths)
    if not least / 2 <= options.target_length <= 2 * most:
        events.emit(
            "warning",
            message=f"The mixture weights for {options.target_length} tokens are a guess: the "
            f"tasks are searched at {least} to {most}. Search them at lengths nearer to it.",
        )


def _warn_if_not_learned(name: str, accuracy: float, guessing: float, events: EventWriter) -> None:
    """Say so where a task is done no better than by luck."""
    if above_guessing(accuracy, guessing) < NOTHING_LEARNED:
        events.emit(
            "warning",
            message=f"not learned ({accuracy:.1%} right, {guessing:.1%} by guessing), so its "
            "mixture weights say little: give more steps, or leave the task out.",
            task=name,
        )


def _search(
    job: Job,
    target: "ManticoreForCausalLM",
    folder: Path,
    config: "RunConfig",
    events: EventWriter,
    should_stop: Callable[[], bool],
    section: Section,
) -> dict[str, Any] | None:
    """What a task's search found, from the disk if it was done before; None if it was stopped."""
    path = folder / TASKS_FOLDER / f"{job.name}.json"
    if path.is_file():
        # A kill can come between the result and the end of what is not needed any more.
        shutil.rmtree(folder / CHECKPOINTS_FOLDER / section.name, ignore_errors=True)
        found = json.loads(path.read_text(encoding="utf-8"))
        if "guessing" not in found:  # results have not always had it
            data = make_task(job.setting.task, job.setting, config.seed)
            found["guessing"] = guessing_accuracy(data)
        return found
    data = make_task(job.setting.task, job.setting, config.seed)
    hybrid = hybrid_for_task(target, data, config.seed, from_scratch=config.options.from_scratch)
    training = Training(hybrid, data, config, folder, events, {}, measure, section)
    metrics = training.run(should_stop)
    if metrics is not None:
        # What a task is judged by is all of its test examples, however few are looked at meanwhile.
        metrics |= training.watcher.measure_all(config.options.steps)
    training.close_trackers()
    if metrics is None:
        return None
    guessing = guessing_accuracy(data)
    _warn_if_not_learned(job.name, metrics["accuracy"], guessing, events)
    result = {name: metrics[name] for name in ("accuracy", "perplexity", "mixture_weights")} | {
        "guessing": guessing,
        "skill": job.skill,
        "setting": job.setting.model_dump(exclude_none=True),
    }
    processes = PartialState()
    if processes.is_main_process:
        path.parent.mkdir(exist_ok=True)
        write_json(path, result, allow_nan=True)
        # Only now: a task whose result is not there is gone on with from its checkpoints.
        shutil.rmtree(folder / CHECKPOINTS_FOLDER / section.name)
    # No process looks for a result of the next task before all have left this one.
    processes.wait_for_everyone()
    return result


def _combine(
    options: ProgramConfig, jobs: list[Job], found: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The mixture weights for the target, with what they were made of."""
    learned: dict[str, list[float]] = {}
    for job in jobs:
        share = above_guessing(found[job.name]["accuracy"], found[job.name]["guessing"])
        learned.setdefault(job.setting.task, []).append(share)
    best = best_task({task: fmean(own) for task, own in learned.items()}, options.tasks)
    if not options.lengths:
        combined = _combined(jobs, found, best)
        alpha = combined[options.combine]
        return {"mixture_weights": alpha, "best_task": best, "combined": combined}
    by_length = {}
    for length in options.lengths:
        own = [job for job in jobs if job.setting.length == length]
        by_length[length] = _combined(own, found, best)[options.combine]
    fit = fit_lengths(options.lengths, [torch.tensor(alpha) for alpha in by_length.values()])
    return {
        "mixture_weights": fit.at(options.target_length).tolist(),
        "best_task": best,
        "target_length": options.target_length,
        "lengths": {str(length): alpha for length, alpha in by_length.items()},
        "length_fit": {"intercepts": fit.intercepts.tolist(), "slopes": fit.slopes.tolist()},
    }


def _combined(
    jobs: list[Job], found: dict[str, dict[str, Any]], best: str
) -> dict[Combination, list[list[float]]]:
    """Both combinations of what jobs of one length have found."""
    alphas = {job.setting.task: found[job.name]["mixture_weights"] for job in jobs}
    tensors = [torch.tensor(alpha) for alpha in alphas.values()]
    mean = weighted_mean(tensors, [job.skill for job in jobs])
    return {"mean": mean.tolist(), "best": alphas[best]}

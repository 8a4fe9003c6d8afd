"""The stage `program`: mixture weights from MAD tasks, carried to the hybrid that they are for.

The paper (section 3.3) programs a hybrid by searching on MAD tasks instead of on its target. Each
task here has its own search, on the hybrid's own blocks with fresh embeddings and head, and so its
own mixture weights; they are combined by the weights of the tasks.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from accelerate import PartialState
from accelerate.utils.memory import clear_device_cache

from manticore.config.programming import NOTHING_LEARNED, ProgramConfig, TaskSearch
from manticore.hybrid.outline import outline
from manticore.programming.combining import above_chance
from manticore.programming.fresh import check_length, hybrid_for_task
from manticore.programming.recombining import outcome
from manticore.store.events import Events
from manticore.store.files import write_json
from manticore.store.layout import CHECKPOINTS_FOLDER, HYBRID_FOLDER, RESULT_FOLDER, TASKS_FOLDER
from manticore.tasks.data import make_task
from manticore.tasks.measuring import chance_accuracy, measure
from manticore.train.devices import use_device
from manticore.train.results import save_whole, write_metrics
from manticore.train.section import Section
from manticore.train.sharding import sharding_is_asked_for
from manticore.train.starting import starting_hybrid, stop_before_training
from manticore.train.tracking import require_trackers, tracked
from manticore.train.trainer import Trainer

if TYPE_CHECKING:
    from manticore.config.run import RunConfig
    from manticore.hybrid import ManticoreForCausalLM


def program(
    folder: Path, config: "RunConfig", events: Events, should_stop: Callable[[], bool]
) -> bool:
    """Search on each task, combine the mixture weights, and carry them to the hybrid.

    Writes `tasks/NAME.json` after each task, `result/hybrid` (the unchanged hybrid at the combined
    mixture weights) and `result/metrics.json`.

    Args:
        folder: Folder of the run.
        config: Configuration of the run.
        events: Event stream of the run.
        should_stop: Called after every step; True ends the run at a checkpoint.

    Returns:
        Whether the run came to its end.

    Raises:
        ValueError: A task is too long for a component, or the run is to be sharded.
    """
    options = _options(config)
    require_trackers(config.trackers)
    if sharding_is_asked_for():
        raise ValueError(
            "Programming trains a different hybrid for each task, and FSDP shards a single one: "
            "run it without FSDP."
        )
    processes = PartialState(cpu=use_device(config.device).type == "cpu")
    with processes.main_process_first():
        target = starting_hybrid(folder, config, events).to(processes.device)
    searches = options.searches()
    for search in searches:
        # Before any task is searched; one example is as long as many.
        small = search.setting.model_copy(update={"train_examples": 1, "test_examples": 1})
        check_length(target, make_task(small.task, small, config.seed))
    total = len(searches) * options.steps
    events.emit("stage", name="program", total_steps=total)
    events.emit("hybrid", **outline(target))
    if options.lengths and not any(event["kind"] == "step" for event in events.earlier):
        _warn_of_lengths(options, events)
    found: dict[str, dict[str, Any]] = {}
    for index, search in enumerate(searches):
        if stop_before_training(should_stop):
            return False
        later = options.steps * sum(other.setting.length for other in searches[index + 1 :])
        section = Section(
            index * options.steps,
            search.name,
            {"task": search.name},
            later / search.setting.length,
        )
        result = _search(search, target, folder, config, events, should_stop, section)
        # A task's hybrid and its optimizer refer to each other, and the next task needs the memory.
        clear_device_cache(garbage_collection=True)
        if result is None:
            return False
        found[search.name] = result
    # A run that searches more tasks was given the results of others, which may not count now.
    metrics = outcome(options, found | _results(folder))
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


def _options(config: "RunConfig") -> ProgramConfig:
    return cast("ProgramConfig", config.options)


def _warn_of_lengths(options: ProgramConfig, events: Events) -> None:
    """Warn where the target is more than one doubling away from the lengths that are searched."""
    least, most = min(options.lengths), max(options.lengths)
    if options.target_length and not least / 2 <= options.target_length <= 2 * most:
        events.emit(
            "warning",
            message=f"The mixture weights for {options.target_length} tokens are a guess: tasks "
            f"are searched at {least} to {most} tokens. Choose lengths closer to the target.",
        )


def _warn_if_not_learned(name: str, accuracy: float, chance: float, events: Events) -> None:
    """Warn where a task is learned no better than by luck."""
    if above_chance(accuracy, chance) < NOTHING_LEARNED:
        events.emit(
            "warning",
            message=f"not learned (accuracy {accuracy:.1%}, chance {chance:.1%}), so its mixture "
            "weights say little: give more steps, or leave the task out.",
            task=name,
        )


def _results(folder: Path) -> dict[str, dict[str, Any]]:
    """Results that are on the disk, by name of the search."""
    files = sorted((folder / TASKS_FOLDER).glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _search(
    search: TaskSearch,
    target: "ManticoreForCausalLM",
    folder: Path,
    config: "RunConfig",
    events: Events,
    should_stop: Callable[[], bool],
    section: Section,
) -> dict[str, Any] | None:
    """Result of a task's search, from the disk if it was done before; None if it was stopped."""
    path = folder / TASKS_FOLDER / f"{search.name}.json"
    if path.is_file():
        # A kill can come between the result and the removal of what is no longer needed.
        shutil.rmtree(folder / CHECKPOINTS_FOLDER / section.name, ignore_errors=True)
        found = json.loads(path.read_text(encoding="utf-8"))
        if "guessing" not in found:  # older versions did not save it
            data = make_task(search.setting.task, search.setting, config.seed)
            found["guessing"] = chance_accuracy(data)
        return found
    data = make_task(search.setting.task, search.setting, config.seed)
    hybrid = hybrid_for_task(target, data, config.seed, from_scratch=_options(config).from_scratch)
    chance = chance_accuracy(data)

    def measured(*args: Any, **how: Any) -> dict[str, Any]:
        return measure(*args, **how) | {"chance": chance}

    trainer = Trainer(hybrid, data, config, folder, events, {}, measured, section)
    metrics = trainer.run(should_stop)
    if metrics is not None:
        # A task is judged by all of its test examples, however few are used for evaluations.
        metrics |= trainer.reporter.measure_all(_options(config).steps)
    trainer.close_trackers()
    if metrics is None:
        return None
    _warn_if_not_learned(search.name, metrics["accuracy"], chance, events)
    result = {name: metrics[name] for name in ("accuracy", "perplexity", "mixture_weights")} | {
        "guessing": chance,
        "skill": search.weight,
        "setting": search.setting.model_dump(),
    }
    processes = PartialState()
    if processes.is_main_process:
        path.parent.mkdir(exist_ok=True)
        write_json(path, result, allow_nan=True)
        # Only now: a task without a result is continued from its checkpoints.
        shutil.rmtree(folder / CHECKPOINTS_FOLDER / section.name)
    # No process may look for a result of the next task before all have left this one.
    processes.wait_for_everyone()
    return result

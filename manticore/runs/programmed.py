"""New runs out of a finished programming run: other task weights, or more tasks."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from manticore.config.programming import ProgramConfig
from manticore.config.run import RunConfig
from manticore.runs.launch import spawn_worker
from manticore.runs.run import Run, runs
from manticore.store.disk import writing
from manticore.store.events import EventWriter
from manticore.store.files import publish_folder, write_json
from manticore.store.folder import CONFIG_FILE, new_run_id
from manticore.store.layout import (
    HYBRID_FOLDER,
    METRICS_FILE,
    RESULT_FOLDER,
    START_FOLDER,
    TASKS_FOLDER,
)
from manticore.store.status import write_status

COMBINED = "combined"
"""The task of the event with what all tasks come to."""


@dataclass(frozen=True)
class Played:
    """A finished programming run, whose results are combined again for other task weights.

    Nothing is searched again, so that mixture weights follow task weights at once.

    Attributes:
        run: The run, done.
        found: Result of each of its searches, by name.
    """

    run: Run
    found: Mapping[str, Mapping[str, Any]] = field(repr=False)

    @classmethod
    def of(cls, run: Run) -> "Played | None":
        """The run to play; None if it is not one of programming, or is not done.

        Args:
            run: Any run.
        """
        found = results_of(run)
        return None if found is None else cls(run, found)

    @property
    def options(self) -> ProgramConfig:
        """Its options."""
        return _options(self.run)

    @property
    def searched(self) -> set[str]:
        """The tasks that it has results for."""
        return {result["setting"]["task"] for result in self.found.values()}

    def missing(self, weights: Mapping[str, float]) -> list[str]:
        """The tasks that have a weight and no result.

        Args:
            weights: Weight of each task.
        """
        return [task for task, weight in weights.items() if weight and task not in self.searched]

    def mixture(self, weights: Mapping[str, float]) -> list[list[float]]:
        """The mixture weights (N, K) that the run would have made with these task weights.

        Args:
            weights: Weight of each task.

        Raises:
            ValueError: All tasks that were searched have the weight 0.
        """
        # Here, because they need torch, which takes seconds to import.
        from manticore.programming.combining import combine
        from manticore.programming.recombining import with_weights

        options = with_weights(self.options, self.found, weights)
        return combine(options, self.found)["mixture_weights"]


def results_of(run: Run) -> dict[str, dict[str, Any]] | None:
    """What each search of a programming run has found, by its name.

    Args:
        run: Any run.

    Returns:
        The results; None for a run that is not one of programming, or is not done.
    """
    if run.config.stage != "program" or run.status.state != "done":
        return None
    found = run.metrics()["tasks"]
    # Older versions saved less.
    whole = all({"guessing", "mixture_weights"} <= result.keys() for result in found.values())
    return found if found and whole else None


def programmed_before(
    components: Sequence[str], n_blocks: int, root: Path | None = None
) -> Run | None:
    """The finished programming run of these components that has searched most tasks.

    Args:
        components: Components in their order.
        n_blocks: Number of blocks.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.
    """
    found = [
        (len(results), run)
        for run in runs(root)
        if (tuple(components), n_blocks) == (run.config.components, run.config.n_blocks)
        and (results := results_of(run))
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def keep_weights(
    run: Run, weights: Mapping[str, float], name: str | None = None, owner: str | None = None
) -> Run:
    """A finished run with the mixture weights that other task weights make of the same results.

    It is what the run would have been with these task weights from the start.

    Args:
        run: A finished programming run.
        weights: Weight of each task; tasks that were not searched do not count.
        name: Name of the new run; that of the old one if None.
        owner: Name of the user whom the new run belongs to.

    Raises:
        ValueError: The run has no results, or all of its tasks have the weight 0.
        DiskFullError: The disk is full.
        OSError: The folder cannot be written.
    """
    # Here, because they need torch, which takes seconds to import.
    from manticore.programming.recombining import outcome, with_weights

    found = _results(run)
    options = with_weights(_options(run), found, weights)
    metrics = outcome(options, found)
    hybrid = run.hybrid()
    hybrid.set_mixture_weights(metrics["mixture_weights"])

    def fill(folder: Path) -> None:
        with EventWriter(folder) as events:
            for event in _searching(run):
                events.emit(**event)
            last = max((event.get("step", 0) for event in run.events()), default=0)
            events.emit(
                "mixture",
                step=last,
                weights=hybrid.mixture_weights,
                components=hybrid.component_names,
                task=COMBINED,
            )
            events.emit("done")
        hybrid.save_pretrained(folder / RESULT_FOLDER / HYBRID_FOLDER)
        write_json(folder / RESULT_FOLDER / METRICS_FILE, metrics, allow_nan=True)
        write_status(folder, "done")

    return _make(run, fill, options=options, owner=owner, name=name or run.name or None)


def search_more(
    run: Run,
    weights: Mapping[str, float],
    owner: str | None = None,
    at_once: int | None = None,
) -> Run:
    """Start a run that takes the results of another one and searches the tasks that it lacks.

    Args:
        run: A finished programming run.
        weights: Weight of each task; those at 0 are left out.
        owner: Name of the user whom the new run belongs to.
        at_once: Wait until fewer runs than this work, as `start_run` has it.

    Raises:
        ValueError: The run has no results, a task is unknown, or none has a weight.
        DiskFullError: The disk is full.
        OSError: The folder cannot be written, or the process cannot be started.
    """
    found, options = _results(run), _options(run)
    searched = dict.fromkeys(result["setting"]["task"] for result in found.values())
    order = [*searched, *(task for task in weights if task not in searched)]
    tasks = {task: weights[task] for task in order if weights.get(task, 0) > 0}
    settings = {task: changes for task, changes in options.settings.items() if task in tasks}
    given = options.model_dump() | {"tasks": tasks, "settings": settings}
    more = ProgramConfig.model_validate(given)
    names = [search.name for search in more.searches()]

    def fill(folder: Path) -> None:
        (folder / TASKS_FOLDER).mkdir()
        for name, result in found.items():
            write_json(folder / TASKS_FOLDER / f"{name}.json", result, allow_nan=True)
        with EventWriter(folder) as events:
            for event in _moved(_searching(run), names, more.steps):
                events.emit(**event)
        write_status(folder, "queued")

    made = _make(run, fill, options=more, owner=owner)
    spawn_worker(made.folder, at_once)
    return made


def _results(run: Run) -> dict[str, dict[str, Any]]:
    found = results_of(run)
    if found is None:
        raise ValueError(
            f"Run {run.id} has no results of tasks: choose a programming run that is done."
        )
    return found


def _options(run: Run) -> ProgramConfig:
    return cast("ProgramConfig", run.config.options)


def _searching(run: Run) -> Iterator[dict[str, Any]]:
    """The events of a run up to where its tasks are combined, as they are emitted again."""
    for event in run.events():
        if event["kind"] != "done" and event.get("task") != COMBINED:
            yield {name: value for name, value in event.items() if name != "time"}


def _moved(
    events: Iterator[dict[str, Any]], names: Sequence[str], steps: int
) -> Iterator[dict[str, Any]]:
    """The events of some searches, where these stand in a run of other tasks."""
    first: dict[str, int] = {}
    for event in events:
        task: str = event.get("task", "")
        if task in names and "step" in event:
            # The first event of a search is from before its first step.
            begun = first.setdefault(task, event["step"])
            yield event | {"step": event["step"] - begun + names.index(task) * steps}
        elif not task or task in names:
            yield event


def _make(run: Run, fill: Callable[[Path], None], **changes: Any) -> Run:
    """A run folder like that of `run`, whose start it shares; it appears only when it is whole."""
    config: RunConfig = run.config.model_copy(update={"recipe": None, **changes})
    base, run_id = run.folder.parent, new_run_id(config.name or config.stage)
    making = base / f".{run_id}"
    try:
        with writing(making):
            making.mkdir()
            write_json(making / CONFIG_FILE, config.model_dump(mode="json"))
            shutil.copytree(run.folder / START_FOLDER, making / START_FOLDER)
            fill(making)
            publish_folder(making, base / run_id)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return Run(base / run_id)

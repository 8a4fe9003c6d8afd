"""Long Range Arena: untrained models that classify long sequences, under one protocol."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from manticore.config.setting import LONG_RANGE_PRESETS, Setting, preset_settings
from manticore.names import LONG_RANGE_TASKS
from manticore.store.layout import runs_root
from manticore.suite.progress import Progress
from manticore.suite.protocol import LONG_RANGE_PROTOCOLS, Protocol
from manticore.suite.running import chosen_models, chosen_settings, run_trials
from manticore.suite.scores import Suite
from manticore.tasks.lra.settings import PUBLISHED, STAND_IN, BorrowedSetting
from manticore.tasks.task import find_task

SUITE_FOLDER = "lra"
_PARTS: tuple[str, ...] = ("train_examples", "valid_examples", "test_examples")
PUBLISHED_SCORES: dict[str, dict[str, float]] = {
    "Transformer": {
        "listops": 36.4,
        "text": 64.3,
        "retrieval": 57.5,
        "image": 42.4,
        "pathfinder": 71.4,
    },
    "S4": {
        "listops": 59.6,
        "text": 86.8,
        "retrieval": 90.9,
        "image": 88.7,
        "pathfinder": 94.2,
        "path-x": 96.4,
    },
}
"""Accuracies in percent on the published data, by models of other sizes: a Transformer (Tay et al.,
arXiv 2011.04006) and S4 (Gu et al., arXiv 2111.00396, as revised)."""


def lra_suite(
    preset: str = "quick",
    models: Sequence[str] | str | None = None,
    tasks: Sequence[str] | str | None = None,
    *,
    data: str | None = None,
    most_examples: int | None = None,
    seeds: Sequence[int] | None = None,
    folder: str | Path | None = None,
    device: str = "auto",
    jobs: int = 1,
    report: Callable[[Progress], object] = lambda progress: None,
    **protocol: Any,
) -> Suite:
    """Train untrained models on the tasks of Long Range Arena (Tay et al., arXiv 2011.04006).

    Every pair of a learning rate and a weight decay is judged on examples to choose by, and the
    best one by the test examples. Trials are kept, and continued, as by `mad_suite`.

    Args:
        preset: Settings and protocol: `quick` (short sequences, stand-ins for published data) or
            `paper` (published sizes and data, for a GPU); `path-x` is a preset of its own.
        models: Names in `manticore.suite.stacks.STACKS`, or FAMILY+FAMILY. Stacks of one family are
            made as large as the hybrid of `gpt_neo` and `mamba`.
        tasks: Names of tasks; all tasks of the preset if not given.
        data: Data of the tasks that are not generated, instead of the preset's: `stand-in`,
            `published`, or a folder with the published data of the task.
        most_examples: Use no more examples of each part, to try things out; None: no limit.
        seeds: Random seeds, with a score for each; the preset's if not given.
        folder: Folder of the results; `lra` in the folder of runs if not given.
        device: As for `mad_suite`.
        jobs: As for `mad_suite`.
        report: As for `mad_suite`.
        protocol: Fields of `Protocol` in which to differ from the preset, such as `most_steps`.

    Raises:
        ValueError: No such preset, model, task, device or field of the protocol; fewer than 1 job.
        ConnectionError: Published data cannot be downloaded.
        ChildProcessError: One of several jobs failed; finished trials are kept.
        BlockingIOError: Another suite is at work in the folder.
        KeyboardInterrupt: As for `mad_suite`.
    """
    changes = protocol if seeds is None else {**protocol, "seeds": tuple(seeds)}
    names = chosen_models(models, protocol)
    settings = preset_settings(preset, LONG_RANGE_PRESETS)
    settings = chosen_settings(settings, tasks, preset, LONG_RANGE_TASKS)
    _check_folder(data, settings)
    settings = [_changed(setting, data, most_examples) for setting in settings]
    trials = [
        trial
        for setting in settings
        for trial in _protocol(preset, setting, changes).trials(names, [setting])
    ]
    trials.sort(key=lambda trial: trial.seed)  # one seed of everything first
    where = Path(folder) if folder is not None else runs_root() / SUITE_FOLDER
    return run_trials(trials, where, device, jobs, report)


def _protocol(preset: str, setting: Setting, changes: dict[str, Any]) -> Protocol:
    """The preset's protocol, with what the task and the call change in it."""
    own = dict(find_task(setting.task).regimes.get(preset, {}))
    if "epochs" in changes:
        # Meant as such, and not within the preset's steps.
        own |= {"least_steps": 0, "most_steps": None}
    return Protocol(**{**LONG_RANGE_PROTOCOLS[preset].model_dump(), **own, **changes})


def _check_folder(data: str | None, settings: list[Setting]) -> None:
    """Refuse a folder that more than one task, or none, would read."""
    if data in (None, STAND_IN, PUBLISHED):
        return
    tasks = [setting.task for setting in settings if isinstance(setting, BorrowedSetting)]
    if len(tasks) != 1:
        readers = " and ".join(tasks) or "none of these tasks"
        raise ValueError(
            f"data={data!r} is a folder with the data of one task, and {readers} would read it: "
            f"choose one by tasks (--task), or data={STAND_IN} or {PUBLISHED}."
        )


def _changed(setting: Setting, data: str | None, most_examples: int | None) -> Setting:
    """The setting with other data, if its data are not generated, and fewer examples."""
    changes: dict[str, Any] = {}
    limits: dict[str, int] = {}
    if most_examples is not None:
        limits = dict.fromkeys(_PARTS, most_examples)
    if data is not None and isinstance(setting, BorrowedSetting):
        # A folder is the same from wherever the suite is continued.
        named = data in (STAND_IN, PUBLISHED)
        changes["data"] = data if named else str(Path(data).resolve())
        if data == STAND_IN:
            for part, most in setting.in_stand_in.items():
                limits[part] = min(limits.get(part, most), most)
    changes |= {part: min(getattr(setting, part), limit) for part, limit in limits.items()}
    return Setting.model_validate({**setting.model_dump(), **changes})


def published_scores(found: Suite) -> dict[str, dict[str, float]]:
    """Published accuracies of the tasks that a suite had at their published length and data.

    Args:
        found: What `lra_suite` gave.
    """
    settings = {outcome["trial"].setting for outcome in found.outcomes}
    tasks = {
        setting.task
        for setting in settings
        if setting.length == type(setting).model_fields["length"].default
        and not (isinstance(setting, BorrowedSetting) and setting.data == STAND_IN)
    }
    shown = {
        model: {task: score for task, score in scores.items() if task in tasks}
        for model, scores in PUBLISHED_SCORES.items()
    }
    return {model: scores for model, scores in shown.items() if scores}

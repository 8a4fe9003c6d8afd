"""Long Range Arena: untrained models that classify long sequences, under one protocol."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from manticore.config.setting import LONG_RANGE_PRESETS, Setting, preset_settings
from manticore.store.layout import runs_root
from manticore.suite.progress import Progress
from manticore.suite.protocol import LONG_RANGE_PROTOCOLS, Protocol
from manticore.suite.running import chosen_models, chosen_settings, run_trials
from manticore.suite.scores import Suite
from manticore.tasks.task import find_task

SUITE_FOLDER = "lra"
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
            `paper` (published sizes and data, for a GPU).
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
    settings = chosen_settings(preset_settings(preset, LONG_RANGE_PRESETS), tasks, preset)
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
    own = find_task(setting.task).regimes.get(preset, {})
    return Protocol(**{**LONG_RANGE_PROTOCOLS[preset].model_dump(), **own, **changes})


def _changed(setting: Setting, data: str | None, most_examples: int | None) -> Setting:
    """The setting with other data, if its data are not generated, and fewer examples."""
    changes: dict[str, Any] = {}
    if data is not None and "data" in type(setting).model_fields:
        changes["data"] = data
    if most_examples is not None:
        parts = ("train_examples", "valid_examples", "test_examples")
        changes |= {part: min(getattr(setting, part), most_examples) for part in parts}
    return Setting.model_validate({**setting.model_dump(), **changes})

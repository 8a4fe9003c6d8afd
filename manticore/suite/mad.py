"""The MAD suite: untrained models on MAD tasks, under one protocol."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from manticore.config.setting import preset_settings
from manticore.names import TASKS
from manticore.store.layout import runs_root
from manticore.suite.progress import Progress
from manticore.suite.protocol import PROTOCOLS, Protocol
from manticore.suite.running import chosen_models, chosen_settings, run_trials
from manticore.suite.scores import Suite

SUITE_FOLDER = "mad"


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
    changes = protocol if seeds is None else {**protocol, "seeds": tuple(seeds)}
    settings = chosen_settings(preset_settings(preset), tasks, preset, TASKS)
    trials = _protocol(preset, changes).trials(chosen_models(models, protocol), settings)
    where = Path(folder) if folder is not None else runs_root() / SUITE_FOLDER
    return run_trials(trials, where, device, jobs, report)


def _protocol(preset: str, changes: dict[str, Any]) -> Protocol:
    # A number of epochs that is given is meant as such, and not as at least the preset's steps.
    least = {"least_steps": 0} if "epochs" in changes else {}
    return Protocol(**{**PROTOCOLS[preset].model_dump(), **least, **changes})

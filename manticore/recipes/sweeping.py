"""Sweeps: a recipe with every combination of values and seeds, here or on a Ray cluster."""

import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from threading import Event
from typing import Any

import torch

from manticore.data.cache import digest
from manticore.extras import require
from manticore.recipes.recipe import Recipe
from manticore.recipes.running import done_before, run_recipe
from manticore.runs import Run, runs_root
from manticore.store.files import write_json
from manticore.store.folder import slug
from manticore.suite.grid import run_groups

CPUS = 2
"""Cores per trial, on a machine that has that many."""
_CARRIED = ("MANTICORE_ZOO", "MANTICORE_CACHE", "HF_HOME", "HF_HUB_OFFLINE")
_POLL = 0.2
"""Seconds between checks of a run."""


@dataclass(frozen=True)
class Trial:
    """A recipe with one setting and seed.

    Attributes:
        setting: Values by the names of options.
        seed: Random seed.
        runs: Ids of the runs, one per stage; empty if the trial failed.
        perplexity: Perplexity after the last stage; None if the trial failed or it is not finite.
        error: Why the trial failed; None if it did not.
    """

    setting: dict[str, Any]
    seed: int
    runs: list[str]
    perplexity: float | None
    error: str | None = None


@dataclass(frozen=True)
class Sweep:
    """Results of a sweep.

    Attributes:
        trials: Trials, one per setting and seed.
        path: JSON file with the same content, in the folder of runs.
    """

    trials: list[Trial]
    path: Path

    def by_setting(self) -> list[dict[str, Any]]:
        """Perplexities by setting.

        Returns:
            For each setting, a dictionary with `setting`, the number of `seeds` that succeeded, the
            `mean` of their perplexities and the `spread` (standard deviation); None where there
            are too few.
        """
        return _by_setting(self.trials)


def sweep(
    recipe: Recipe | str | os.PathLike[str],
    vary: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    address: str | None = None,
    concurrent: int | None = None,
    report: Callable[[Trial], object] = lambda trial: None,
) -> Sweep:
    """Run a recipe with every combination of values and seeds, and wait for the end.

    The stages of every trial are ordinary runs, so finished ones are not repeated, and trials share
    the runs of the stages that they have in common. This machine runs one trial per two cores at a
    time, or one on a GPU; a Ray cluster runs as many as fit. Every machine of a cluster needs the
    folder of runs, and the files that the recipe names, under the same paths.

    Args:
        recipe: Recipe, or the path of its YAML file.
        vary: Values by the names of options: `{"search.component_lr": [1e-4, 1e-3]}`.
        seeds: Random seeds; the one of the recipe if not given.
        root: Folder of runs; `$MANTICORE_RUNS` or `./runs` if not given.
        address: Address of a Ray cluster; this machine if not given.
        concurrent: Largest number of trials at the same time.
        report: Called with every trial when it has ended.

    Raises:
        ImportError: An address was given, and Ray is not installed.
        ConnectionError: No cluster answers at the address.
        ValueError: An option or a value of a trial is not valid; nothing has started then.
    """
    if address is not None:
        require("A sweep on a cluster", "ray")
    if not isinstance(recipe, Recipe):
        recipe = Recipe.from_yaml(recipe)
    recipe = recipe.with_paths_from(Path.cwd())
    vary = {name: list(values) for name, values in (vary or {}).items()}
    seeds = [recipe.seed] if seeds is None else list(seeds)
    planned = _plan(recipe, vary, seeds)
    if concurrent is not None and concurrent < 1:
        raise ValueError(f"concurrent={concurrent} lets no trial run: give 1 or more.")
    errors = {}
    # Finished trials need no process.
    pending = [i for i, (_, _, made) in enumerate(planned) if done_before(made, root) is None]
    if pending:
        errors = _run(
            [made for _, _, made in planned],
            pending,
            runs_root(root),
            address,
            concurrent,
            lambda index, error: report(_trial(*planned[index], root, error)),
        )
    trials = [_trial(*planned[i], root, errors.get(i)) for i in range(len(planned))]
    swept = {"recipe": recipe.model_dump(mode="json"), "vary": vary, "seeds": seeds}
    base = runs_root(root)
    base.mkdir(parents=True, exist_ok=True)
    name = "-".join(filter(None, ["sweep", slug(recipe.name or ""), digest(swept)[:8]]))
    path = base / f"{name}.json"
    found = {"settings": _by_setting(trials), "trials": [asdict(trial) for trial in trials]}
    write_json(path, swept | found)
    return Sweep(trials, path)


def _plan(
    recipe: Recipe, vary: dict[str, list[Any]], seeds: list[int]
) -> list[tuple[dict[str, Any], int, Recipe]]:
    """Setting, seed and recipe of every trial, all checked."""
    if recipe.stage_names[-1] == "program":
        raise ValueError(
            "A sweep compares perplexities, and a recipe that ends with program measures none: add "
            "finetune or evaluate."
        )
    if any(name.replace("-", "_") in {"seed", "name"} for name in vary):
        raise ValueError("seed and name cannot be varied: give the seeds as seeds.")
    for name, values in {**vary, "seeds": seeds}.items():
        if not values or any(values.count(value) > 1 for value in values):
            raise ValueError(f"{name} has the values {values}: give at least one, each once.")
    settings = [dict(zip(vary, values, strict=True)) for values in product(*vary.values())]
    return [
        (setting, seed, recipe.with_options({**setting, "seed": seed}))
        for setting in settings
        for seed in seeds
    ]


def _trial(
    setting: dict[str, Any],
    seed: int,
    recipe: Recipe,
    root: str | os.PathLike[str] | None,
    error: str | None,
) -> Trial:
    runs = done_before(recipe, root)
    if runs is None:
        cause = error or "The trial was interrupted: sweep again to continue."
        return Trial(setting, seed, [], None, cause)
    perplexity = runs[-1].metrics()["perplexity"]
    finite = perplexity is not None and math.isfinite(perplexity)
    return Trial(setting, seed, [run.id for run in runs], perplexity if finite else None)


def _by_setting(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(json.dumps(trial.setting), []).append(trial)
    rows = []
    for group in groups.values():
        found = [trial.perplexity for trial in group if trial.perplexity is not None]
        rows.append(
            {
                "setting": group[0].setting,
                "seeds": len(found),
                "mean": mean(found) if found else None,
                "spread": stdev(found) if len(found) > 1 else None,
            }
        )
    return rows


def _run(
    recipes: list[Recipe],
    pending: list[int],
    base: Path,
    address: str | None,
    concurrent: int | None,
    over: Callable[[int, str | None], object],
) -> dict[int, str]:
    """Run the pending recipes, and return the errors of those that failed, by index."""
    base.mkdir(parents=True, exist_ok=True)
    errors: dict[int, str] = {}

    def ended(index: int, future: "Future[None]") -> bool:
        error = future.exception()
        if error is not None:
            errors[index] = str(error.__cause__ or error)
        over(index, errors.get(index))
        return True

    groups = [[index] for index in pending]
    if address is not None:
        with _cluster(address, recipes, base) as start:
            run_groups(groups, start, ended, concurrent or len(pending))
        return errors
    at_once = concurrent or _at_once({recipe.device for recipe in recipes})
    stop = Event()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            run_groups(
                groups,
                lambda index: pool.submit(_do_here, recipes[index], base, stop),
                ended,
                at_once,
            )
        finally:
            stop.set()
    return errors


def _at_once(devices: set[str]) -> int:
    """Number of trials that this machine runs at once: one per two cores, or one on a GPU."""
    if devices != {"cpu"} and torch.cuda.is_available():
        return 1
    return max(1, (os.cpu_count() or 1) // CPUS)


def _do_here(recipe: Recipe, base: Path, stop: Event) -> None:
    """Run one trial, whose stages are processes; an interrupted sweep does not wait for them."""

    def watch(run: Run) -> None:
        while run.status.is_active:
            if stop.wait(_POLL):
                raise InterruptedError("The sweep was interrupted: repeat it to continue.")

    run_recipe(recipe, root=base, watch=watch)


@contextmanager
def _cluster(
    address: str, recipes: list[Recipe], base: Path
) -> "Iterator[Callable[[int], Future[None]]]":
    """A function that starts a trial on a Ray cluster, by its index."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    connected = not ray.is_initialized()
    if connected:
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise ConnectionError(
                f"The Ray cluster at {address} does not answer ({error}): start one with `ray "
                "start --head`. If it asks for a token, set RAY_AUTH_MODE=token here too."
            ) from error
    try:
        needs = _resources(ray.nodes(), {recipe.device for recipe in recipes})
        do = ray.remote(num_cpus=needs["cpu"], num_gpus=needs["gpu"])(_do_there)
        environment = {name: os.environ[name] for name in _CARRIED if name in os.environ}

        def start(index: int) -> "Future[None]":
            values = recipes[index].model_dump(exclude_unset=True)
            return do.remote(values, str(base), environment).future()

        yield start
    finally:
        if connected:
            ray.shutdown()


def _resources(nodes: Sequence[Mapping[str, Any]], devices: set[str]) -> dict[str, float]:
    """Resources of a trial: cores, and a GPU if there is one and the recipe allows it."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    cpus = min(CPUS, max(node.get("CPU", 0) for node in alive))
    gpus = devices != {"cpu"} and any(node.get("GPU", 0) >= 1 for node in alive)
    return {"cpu": cpus, "gpu": int(gpus)}


def _do_there(values: dict[str, Any], root: str, environment: dict[str, str]) -> None:
    """Run one trial in a process of Ray."""
    os.environ.update(environment)
    run_recipe(Recipe(**values), root=root)

"""Sweeps: a recipe at every combination of some values and seeds, through Ray Tune."""

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType
from typing import Any

from manticore.data.cache import digest
from manticore.extras import require
from manticore.recipes.recipe import Recipe
from manticore.recipes.running import done_before, run_recipe
from manticore.runs import runs_root
from manticore.store.files import write_json
from manticore.store.folder import slug

CPUS = 2
"""Cores of a trial, where a machine has so many."""
_CARRIED = ("MANTICORE_ZOO", "MANTICORE_CACHE", "HF_HOME", "HF_HUB_OFFLINE")
_TOO_SLOW = "timed out during startup"
"""What Ray says when its processes were not up within its half minute."""
_STARTS = 4
"""Of Ray, until a machine counts as too busy for it."""


@dataclass(frozen=True)
class Trial:
    """A recipe at one setting and seed.

    Attributes:
        setting: Values by the names of options.
        seed: Of the recipe.
        runs: Ids of the runs, one for each stage; none where it failed.
        perplexity: That the last stage measured; None where it failed or is not finite.
        error: Why it failed.
    """

    setting: dict[str, Any]
    seed: int
    runs: list[str]
    perplexity: float | None
    error: str | None = None


@dataclass(frozen=True)
class Sweep:
    """What a sweep has found.

    Attributes:
        trials: One for each setting and seed.
        path: The same as JSON, in the runs folder.
    """

    trials: list[Trial]
    path: Path

    def by_setting(self) -> list[dict[str, Any]]:
        """For each setting: `setting`, the number of `seeds` that succeeded, the `mean` of their
        perplexities and the `spread`, their standard deviation; None where there are too few."""
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
    """Do a recipe at every combination of values and with every seed, and wait for the end.

    Every trial's stages are ordinary runs, so what was done before is not done again, and trials
    that begin alike share the runs of their common stages. On this machine a trial takes two cores,
    and a GPU where there is one; on a cluster as many trials run at once as have room. There, the
    runs folder, and what the recipe names by a path, must be reached from every machine.

    Args:
        recipe: Or the path of its YAML file.
        vary: Values by the names of options: `{"search.component_lr": [1e-4, 1e-3]}`.
        seeds: The recipe's own if not given.
        root: Folder of runs; `$MANTICORE_RUNS` or `./runs` if not given.
        address: Of a Ray cluster; a Ray of its own on this machine if not given.
        concurrent: At most so many trials at once.
        report: Called with every trial when it is over.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: No cluster answers at the address.
        ValueError: An option or a value that cannot be, in any trial; nothing has started then.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.from_yaml(recipe)
    recipe = recipe.with_paths_from(Path.cwd())
    vary = {name: list(values) for name, values in (vary or {}).items()}
    seeds = [recipe.seed] if seeds is None else list(seeds)
    planned = _plan(recipe, vary, seeds)
    if concurrent is not None and concurrent < 1:
        raise ValueError(f"concurrent is {concurrent}: at least one trial must run at a time")
    errors = {}
    # What is done needs no process, and no Ray.
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
    said = {"recipe": recipe.model_dump(mode="json"), "vary": vary, "seeds": seeds}
    base = runs_root(root)
    base.mkdir(parents=True, exist_ok=True)
    name = "-".join(filter(None, ["sweep", slug(recipe.name or ""), digest(said)[:8]]))
    path = base / f"{name}.json"
    found = {"settings": _by_setting(trials), "trials": [asdict(trial) for trial in trials]}
    write_json(path, said | found)
    return Sweep(trials, path)


def _plan(
    recipe: Recipe, vary: dict[str, list[Any]], seeds: list[int]
) -> list[tuple[dict[str, Any], int, Recipe]]:
    """Setting, seed and recipe of every trial, all of them checked."""
    if recipe.stage_names[-1] == "program":
        raise ValueError(
            "a sweep compares perplexities, and a recipe that ends with program measures none: add "
            "finetune or evaluate"
        )
    if any(name.replace("-", "_") in {"seed", "name"} for name in vary):
        raise ValueError("seed and name are not varied: give the seeds as seeds")
    for name, values in {**vary, "seeds": seeds}.items():
        if not values or any(values.count(value) > 1 for value in values):
            raise ValueError(f"{name} has the values {values}: give at least one, and each once")
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
        return Trial(setting, seed, [], None, error or "it was interrupted: sweep again to go on")
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
    """Do the pending recipes with Ray Tune; the errors of those that failed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    require("A sweep", "ray")
    import ray
    from ray import tune

    class Reporting(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **_: Any) -> None:
            over(trial.config["trial"], None)

        def on_trial_error(self, iteration: int, trials: list, trial: Any, **_: Any) -> None:
            over(trial.config["trial"], "it failed")

    base.mkdir(parents=True, exist_ok=True)
    connected = not ray.is_initialized()
    if connected:
        _connect(ray, address)
    try:
        with tempfile.TemporaryDirectory(
            prefix=".sweep-", dir=base, ignore_cleanup_errors=True
        ) as storage:
            tuner = tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(
                        _do,
                        recipes=[recipe.model_dump(exclude_unset=True) for recipe in recipes],
                        root=str(base),
                        environment={k: os.environ[k] for k in _CARRIED if k in os.environ},
                    ),
                    _resources(ray.nodes(), {recipe.device for recipe in recipes}),
                ),
                param_space={"trial": tune.grid_search(pending)},
                tune_config=tune.TuneConfig(
                    metric="perplexity",
                    mode="min",
                    max_concurrent_trials=concurrent,
                    # Starting a process and importing torch takes longer than finding a run.
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="trials", storage_path=storage, verbose=0, callbacks=[Reporting()]
                ),
            )
            results = tuner.fit()
            return {
                pending[i]: str(results[i].error.__cause__ or results[i].error)
                for i in range(len(results))
                if results[i].error is not None
            }
    finally:
        if connected:
            ray.shutdown()


def _connect(ray: ModuleType, address: str | None) -> None:
    """Join the cluster, or start Ray on this machine: again, if a busy one takes too long."""
    for attempt in range(1, _STARTS + 1):
        try:
            ray.init(
                address or "local",
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except ConnectionError as error:
            raise ConnectionError(
                f"the Ray cluster at {address} does not answer ({error}): start one with `ray "
                "start --head`; if it asks for a token, set RAY_AUTH_MODE=token here too"
            ) from error
        except Exception as error:  # Ray has no type of its own for it
            if _TOO_SLOW not in str(error):
                raise
            if attempt == _STARTS:
                raise TimeoutError(
                    f"Ray did not start ({error}): this machine is too busy. End what else is at "
                    "work and give the same command again: trials that are done are kept"
                ) from error
        else:
            return


def _resources(nodes: Sequence[Mapping[str, Any]], devices: set[str]) -> dict[str, float]:
    """What a trial takes: cores, and a GPU where there is one and the recipe lets it be used."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    cpus = min(CPUS, max(node.get("CPU", 0) for node in alive))
    gpus = devices != {"cpu"} and any(node.get("GPU", 0) >= 1 for node in alive)
    return {"cpu": cpus, "gpu": int(gpus)}


def _do(
    config: dict[str, int], recipes: list[dict[str, Any]], root: str, environment: dict[str, str]
) -> dict[str, float | None]:
    """One trial, in a process of Ray's."""
    os.environ.update(environment)
    runs = run_recipe(Recipe(**recipes[config["trial"]]), root=root)
    return {"perplexity": runs[-1].metrics()["perplexity"]}

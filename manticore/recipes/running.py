"""Running a recipe: one run per stage; runs of an earlier call are used again."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from manticore.components.places import files_of
from manticore.data import TextData, load_text
from manticore.data.cache import digest
from manticore.recipes.recipe import Recipe
from manticore.runs import Run, RunError, runs, runs_root
from manticore.runs.from_hybrid import hybrid_of, start_stage
from manticore.train.starting import build_from

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

_LOCK_FILE = ".recipes.lock"


def run_recipe(
    recipe: "Recipe | str | os.PathLike[str]",
    *,
    root: str | os.PathLike[str] | None = None,
    fresh: bool = False,
    watch: Callable[[Run], object] = Run.wait,
) -> list[Run]:
    """Do the stages of a recipe one after the other, each an ordinary run, and wait for the end.

    A stage that an earlier call has finished is not repeated, and one that was interrupted is
    resumed. A stage whose options, text or predecessors have changed since is done again, and so
    are the stages after it. Calling this again therefore continues after any interruption.

    Args:
        recipe: Recipe, or the path of its YAML file.
        root: Folder of runs; `$MANTICORE_RUNS` or `./runs` if not given.
        fresh: Whether to do every stage again.
        watch: Called with the run of each stage; returns when the run has ended.

    Returns:
        The runs, in the order of the stages.

    Raises:
        ValueError: The recipe, or a value in it, is not valid.
        RunError: A stage failed or was stopped.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.from_yaml(recipe)
    recipe = recipe.with_paths_from(Path.cwd())
    made: list[Run] = []
    for stage in recipe.stage_names:
        run = _find_or_start(recipe, stage, made[-1] if made else None, root, fresh)
        watch(run)
        run.wait()
        if run.status.state != "done":
            raise RunError(
                f"The stage {stage} of the recipe, run {run.id}, was {run.status.state}: run the "
                "recipe again to continue."
            )
        made.append(run)
    return made


def done_before(recipe: Recipe, root: str | os.PathLike[str] | None = None) -> list[Run] | None:
    """The runs of a recipe whose stages are all done; None if any of them is not."""
    found: list[Run] = []
    for stage in recipe.stage_names:
        run = _find(_key(recipe, stage, found[-1] if found else None), root)
        if run is None or run.status.state != "done":
            return None
        found.append(run)
    return found


def _find_or_start(
    recipe: Recipe,
    stage: str,
    before: Run | None,
    root: str | os.PathLike[str] | None,
    fresh: bool,
) -> Run:
    """The run of a stage, active or done."""
    base = runs_root(root)
    base.mkdir(parents=True, exist_ok=True)
    key = _key(recipe, stage, before)
    # Two calls of the same recipe, or two trials of a sweep with a common stage, share the run.
    with FileLock(base / _LOCK_FILE):
        run = None if fresh else resumed_run(key, root)
        return _start(recipe, stage, before, root, key) if run is None else run


def resumed_run(key: str, root: str | os.PathLike[str] | None) -> Run | None:
    """The newest run whose `RunConfig.recipe` is this key, resumed if it was interrupted."""
    run = _find(key, root)
    if run is not None and run.status.state != "done" and not run.is_alive:
        run.resume()
    return run


def _find(key: str, root: str | os.PathLike[str] | None) -> Run | None:
    """The newest run of a stage, unless its text has changed since."""
    for run in runs(root):
        if run.config.recipe == key and not TextData.has_changed(run.config.data):
            return run
    return None


def _key(recipe: Recipe, stage: str, before: Run | None) -> str:
    """A digest of everything that decides what a stage does, which names and trackers do not."""
    text = recipe.text(stage)
    decisive = {
        "hybrid": recipe.model_dump(mode="json", exclude={"name", "trackers", "data", "stages"}),
        "stage": stage,
        "options": recipe.options(stage).model_dump(mode="json"),
        "text": None if text is None else text.model_dump(mode="json"),
        "components": [files_of(component) for component in recipe.components],
        "before": None if before is None else before.id,
    }
    return digest(decisive)


def _start(
    recipe: Recipe,
    stage: str,
    before: Run | None,
    root: str | os.PathLike[str] | None,
    key: str,
) -> Run:
    hybrid, text = _hybrid(recipe, stage, before), recipe.text(stage)
    # Hybrids that were built, or saved by a run, always have a tokenizer.
    assert hybrid.tokenizer is not None
    return start_stage(
        stage,
        hybrid,
        None if text is None else load_text(tokenizer=hybrid.tokenizer, **text.model_dump()),
        recipe.options(stage),
        root,
        name=" ".join(filter(None, [recipe.name, stage])),
        seed=recipe.seed,
        device=recipe.device,
        dtype=recipe.dtype,
        trackers=recipe.trackers,
        recipe=key,
    )


def _hybrid(recipe: Recipe, stage: str, before: Run | None) -> "ManticoreForCausalLM":
    """The hybrid that a stage starts from: of the stage before, or built from the components."""
    return build_from(recipe) if before is None else hybrid_of(stage, before)

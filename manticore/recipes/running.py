"""Doing a recipe: one run for each stage, found again where it was done or begun before."""

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

    Where a stage of this recipe was done before, its run is taken; where it was begun, the run goes
    on. What counts is what the recipe says: a stage whose options, text or predecessors have
    changed since is done anew, and the stages after it too. So the same call goes on after
    anything that came in between.

    Args:
        recipe: Or the path of its YAML file.
        root: Folder of runs; `$MANTICORE_RUNS` or `./runs` if not given.
        fresh: Do every stage anew.
        watch: Called with each stage's run; returns when it is over.

    Returns:
        The runs, in the order of the stages.

    Raises:
        ValueError: The recipe, or a value in it, cannot be.
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
                f"the recipe's {stage}, run {run.id}, was {run.status.state}: the same recipe "
                "again goes on with it"
            )
        made.append(run)
    return made


def done_before(recipe: Recipe, root: str | os.PathLike[str] | None = None) -> list[Run] | None:
    """The runs of a recipe that has been done to its end; None where any of it is left to do."""
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
    """The stage's run, at work or done."""
    base = runs_root(root)
    base.mkdir(parents=True, exist_ok=True)
    key = _key(recipe, stage, before)
    # Two that do the same recipe at once, or two of a sweep that begin alike, share the run.
    with FileLock(base / _LOCK_FILE):
        run = None if fresh else go_on_with(key, root)
        return _start(recipe, stage, before, root, key) if run is None else run


def go_on_with(key: str, root: str | os.PathLike[str] | None) -> Run | None:
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
    """A digest of all that decides what a stage does. Names and trackers do not."""
    text = recipe.text(stage)
    said = {
        "hybrid": recipe.model_dump(mode="json", exclude={"name", "trackers", "data", "stages"}),
        "stage": stage,
        "options": recipe.options(stage).model_dump(mode="json"),
        "text": None if text is None else text.model_dump(mode="json"),
        "components": [files_of(component) for component in recipe.components],
        "before": None if before is None else before.id,
    }
    return digest(said)


def _start(
    recipe: Recipe,
    stage: str,
    before: Run | None,
    root: str | os.PathLike[str] | None,
    key: str,
) -> Run:
    hybrid, text = _hybrid(recipe, stage, before), recipe.text(stage)
    # A hybrid that was built, or saved by a run, always has one.
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
    """What the stage starts from: what the stage before has made, or the components."""
    return build_from(recipe) if before is None else hybrid_of(stage, before)

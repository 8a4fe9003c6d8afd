"""Repeating a run from its configuration."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from manticore.config.run import Build, HybridConfig, Parent, Start
from manticore.data import TextData
from manticore.data.cache import digest
from manticore.hybrid import ManticoreForCausalLM, build_hybrid
from manticore.paths import expanded
from manticore.recipes.running import resumed_run
from manticore.runs import Run, RunConfig, RunError, get_run, start_run
from manticore.runs.hybrids import weights_digest
from manticore.store.folder import CONFIG_FILE, is_run_id, run_folder
from manticore.store.layout import START_FOLDER

if TYPE_CHECKING:
    Watch = Callable[[Run], object]


def reproduce(
    what: "Run | str | os.PathLike[str]",
    *,
    root: str | os.PathLike[str] | None = None,
    inexact: bool = False,
    trust_remote_code: bool = False,
    watch: "Watch" = Run.wait,
) -> Run:
    """Start a new run that repeats another.

    The configuration is enough: it also tells how the hybrid at the start was made, and from which
    runs. Those are repeated too where the folder of runs no longer has them. On the same kind of
    CPU, in float32, losses and mixture weights are equal to the last bit.

    Args:
        what: Run, its id, its folder, or the path of a `config.json`.
        root: Folder of runs; `$MANTICORE_RUNS` or `./runs` if not given.
        inexact: Whether to continue although the text, or the weights at the start, are no longer
            the same: other hardware rounds differently.
        trust_remote_code: Whether to run code from hub repositories if the run did. A configuration
            from somebody else must not decide that.
        watch: Called with every run that must be repeated first; returns when the run has ended.

    Returns:
        The run, without waiting for it.

    Raises:
        FileNotFoundError: There is no configuration, or the hybrid at the start cannot be made.
        ValueError: The configuration is damaged, or the text or the weights at the start are not
            those that the run had, or it ran code from hub repositories, which is not allowed now.
        RunError: A run that must be repeated first did not finish.
    """
    config, folder = _read(what, root)
    if not trust_remote_code and any(part.trust_remote_code for part in _lineage(config)):
        raise ValueError(
            f"The run of {', '.join(config.components)} was allowed to run code from hub "
            "repositories: if you trust them, allow it again with trust_remote_code "
            "(--trust-remote-code)."
        )
    return _again(config, folder, root, inexact, watch)


def _lineage(config: RunConfig) -> Iterator[HybridConfig | Build]:
    """The configurations of a run and of those before it that may allow code from elsewhere."""
    yield config
    if config.start is not None:
        if config.start.built is not None:
            yield config.start.built
        if config.start.parent is not None:
            yield from _lineage(config.start.parent.config)


def _again(
    config: RunConfig,
    folder: Path | None,
    root: str | os.PathLike[str] | None,
    inexact: bool,
    watch: "Watch",
    key: str | None = None,
) -> Run:
    """Start a run with this configuration.

    `folder` is the folder of the original run if it still exists; `key` identifies the repetition.
    """
    # A repetition is not a stage of the recipe, which continues from the run that it started.
    config = config.model_copy(update={"recipe": key})
    if not inexact and TextData.has_changed(config.data):
        raise ValueError(
            f"The text {config.data['source']} has changed since the run was started: put the old "
            "one there, or allow an inexact reproduction (inexact, --inexact)."
        )
    if config.start is None:
        return start_run(config, root=root)
    return start_run(
        config, _starting_point(config, config.start, folder, root, inexact, watch), root
    )


def _read(
    what: "Run | str | os.PathLike[str]", root: str | os.PathLike[str] | None
) -> tuple[RunConfig, Path]:
    """A configuration and the folder of its file."""
    if isinstance(what, Run):
        return what.config, what.folder
    path = expanded(what)
    if is_run_id(str(what)) and not path.exists():
        run = get_run(str(what), root)
        return run.config, run.folder
    path = (path / CONFIG_FILE if path.is_dir() else path).resolve()
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}: give a run's id, its folder, or the path of its {CONFIG_FILE}."
        )
    return RunConfig.model_validate_json(path.read_bytes()), path.parent


def _starting_point(
    config: RunConfig,
    start: Start,
    folder: Path | None,
    root: str | os.PathLike[str] | None,
    inexact: bool,
    watch: "Watch",
) -> ManticoreForCausalLM:
    """The hybrid that the run started from, with the weights that it had then."""
    tried = []
    for way, hybrid in _ways_to_start(config, start, folder, root, inexact, watch):
        origin = start.model_dump(mode="json", exclude={"digest"}, exclude_none=True)
        if "parent" in origin and "parent" in hybrid.origin:
            # The repetition of a run that is gone.
            origin["parent"]["run"] = hybrid.origin["parent"]["run"]
        hybrid.origin = origin
        if inexact or weights_digest(hybrid) == start.digest:
            return hybrid
        tried.append(way)
    if not tried:
        raise FileNotFoundError(
            f"The {config.stage} started from a hybrid that was made elsewhere, and "
            f"{folder or 'the run that it was taken from'} has no {START_FOLDER}/: bring that "
            "folder, or start a new run from the hybrid."
        )
    raise ValueError(
        f"The hybrid {' and the one '.join(tried)} has other weights than the one that the run "
        "started from, which was changed after it was built, or built on hardware that rounds "
        f"differently: put the run's {START_FOLDER}/ next to its {CONFIG_FILE}, or allow an "
        "inexact reproduction (inexact, --inexact)."
    )


def _ways_to_start(
    config: RunConfig,
    start: Start,
    folder: Path | None,
    root: str | os.PathLike[str] | None,
    inexact: bool,
    watch: "Watch",
) -> Iterator[tuple[str, ManticoreForCausalLM]]:
    """Hybrids that may be the one at the start, the cheapest first, each with its description."""
    saved = None if folder is None else folder / START_FOLDER
    if saved is not None and (saved / CONFIG_FILE).is_file():
        yield f"in {saved}", ManticoreForCausalLM.from_pretrained(saved, dtype="auto")
    if start.built is not None:
        build = start.built.model_dump()
        dtype = getattr(torch, build.pop("dtype"))
        yield (
            "built from the components",
            build_hybrid(
                list(config.components),
                config.n_blocks,
                projector=config.projector,
                head=config.head,
                gate=config.gate,
                mixture_weights=config.mixture_weights,
                dtype=dtype,
                **build,
            ),
        )
    if start.parent is not None:
        run = _parent(start.parent, folder, root, inexact, watch)
        hybrid = run.original_hybrid() if start.parent.original else run.hybrid()
        if config.mixture_weights is not None and not hybrid.is_routed:
            hybrid.set_mixture_weights(config.mixture_weights)
        yield f"of run {run.id}", hybrid


def _parent(
    parent: Parent,
    folder: Path | None,
    root: str | os.PathLike[str] | None,
    inexact: bool,
    watch: "Watch",
) -> Run:
    """The run that the hybrid was taken from, repeated if it no longer exists."""
    for place in (root, *([] if folder is None else [folder.parent])):
        if (run_folder(parent.run, place) / CONFIG_FILE).is_file():
            return get_run(parent.run, place)
    key = digest({"again": parent.run, "config": parent.config.model_dump(mode="json")})
    run = resumed_run(key, root) or _again(parent.config, None, root, inexact, watch, key)
    watch(run)
    if run.status.state != "done":
        raise RunError(
            f"Run {run.id}, on which the reproduction depends, is {run.status.state}: reproduce "
            "again to resume it."
        )
    return run

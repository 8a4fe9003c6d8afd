"""Finished runs that are bundled, so that a newcomer has a hybrid to look at before starting one.

An entry is a folder `assets/gallery/NAME` with a run's `config.json`, `events.jsonl` and metrics.
A run that has trained has `learned.safetensors` too: the weights of its hybrid without those of the
components, which are bundled already and did not learn. Programming trains nothing that stays: its
hybrid is built again, at the mixture weights of the metrics. To make an entry:
`python -m tools.gallery`.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from manticore.components.zoo import zoo_names
from manticore.config.run import RunConfig
from manticore.paths import bundled
from manticore.runs.run import Run, get_run
from manticore.store.disk import writing
from manticore.store.events import EVENTS_FILE, read_events
from manticore.store.files import publish_folder
from manticore.store.folder import CONFIG_FILE, runs_root
from manticore.store.layout import HYBRID_FOLDER, METRICS_FILE, RESULT_FOLDER, START_FOLDER
from manticore.store.status import write_status

if TYPE_CHECKING:
    import torch

    from manticore.hybrid import ManticoreForCausalLM

LEARNED_FILE = "learned.safetensors"
COMPONENTS = "components."
"""Beginning of the names of the components' weights."""
_PREFIX = "0-gallery-"
"""Ids sort by time: an entry comes before every run of somebody's own."""
_OPENED_FILE = ".gallery"
"""Has a line for each entry that was put among the runs."""


def gallery_names() -> list[str]:
    """Names of the bundled runs whose components are bundled too (`$MANTICORE_ZOO` has others).

    In the order of `runs`, which is that of what a newcomer sees first.
    """
    try:
        entries = sorted(bundled("gallery").glob(f"*/{CONFIG_FILE}"), reverse=True)
        known = {f"zoo:{name}" for name in zoo_names()}
    except FileNotFoundError:
        return []
    return [path.parent.name for path in entries if known.issuperset(_config(path).components)]


def unopened_names(root: str | os.PathLike[str] | None = None) -> list[str]:
    """Names of the bundled runs that were never put among the other runs: nobody has deleted them.

    Args:
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.
    """
    opened = _opened(runs_root(root))
    return [name for name in gallery_names() if name not in opened]


def is_gallery_run(run_id: str) -> bool:
    """Whether an id is that of a bundled run.

    Args:
        run_id: Id of a run.
    """
    return run_id.startswith(_PREFIX)


def open_gallery(name: str, root: str | os.PathLike[str] | None = None) -> Run:
    """A bundled run, put among the other runs if it is not there yet.

    Args:
        name: One of `gallery_names`.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None. Made if missing.

    Raises:
        LookupError: There is no such entry.
        DiskFullError: The disk is full.
        OSError: The folder cannot be written.
    """
    if name not in gallery_names():
        raise LookupError(
            f"There is no {name!r} in the gallery: choose one of {', '.join(gallery_names())}."
        )
    base = runs_root(root)
    if not (base / f"{_PREFIX}{name}").is_dir():
        _put(bundled("gallery") / name, base)
        if name not in _opened(base):
            with (base / _OPENED_FILE).open("a", encoding="utf-8") as opened:
                opened.write(f"{name}\n")
    return get_run(f"{_PREFIX}{name}", base)


def _opened(base: Path) -> list[str]:
    """Names of the entries that were put under a folder of runs, whether they are there or not."""
    file = base / _OPENED_FILE
    return file.read_text(encoding="utf-8").split() if file.is_file() else []


def _config(file: Path) -> RunConfig:
    return RunConfig.model_validate_json(file.read_text(encoding="utf-8"))


def _put(entry: Path, base: Path) -> None:
    """Make a run folder of an entry; it appears under its name only when it is whole."""
    base.mkdir(parents=True, exist_ok=True)
    making = base / f".{_PREFIX}{entry.name}-{secrets.token_hex(4)}"
    try:
        with writing(making):
            making.mkdir()
            for file in (CONFIG_FILE, EVENTS_FILE):
                shutil.copyfile(entry / file, making / file)
            _build(entry, making)
            shutil.copyfile(entry / METRICS_FILE, making / RESULT_FOLDER / METRICS_FILE)
            created = read_events(making)[0][0]["time"]
            write_status(making, "done", created=created)
            publish_folder(making, base / f"{_PREFIX}{entry.name}")
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _build(entry: Path, making: Path) -> None:
    """The hybrid of an entry as it was at first, and as it is with what it has learned."""
    # Here, because they need torch, which takes seconds to import.
    from safetensors.torch import load_file

    from manticore.hybrid.routing import RouterSettings
    from manticore.train.starting import build_from

    config = _config(entry / CONFIG_FILE)
    hybrid = build_from(config)
    hybrid.save_pretrained(making / START_FOLDER)
    if (entry / LEARNED_FILE).is_file():
        if getattr(config.options, "strategy", "") == "routed":
            router = config.options.router
            hybrid.add_router(RouterSettings(router.width, config.options.tied, router.threshold))
        _learn(hybrid, load_file(entry / LEARNED_FILE), entry.name)
    else:
        metrics = json.loads((entry / METRICS_FILE).read_text(encoding="utf-8"))
        hybrid.set_mixture_weights(metrics["mixture_weights"])
    hybrid.save_pretrained(making / RESULT_FOLDER / HYBRID_FOLDER)


def _learn(
    hybrid: "ManticoreForCausalLM", learned: "Mapping[str, torch.Tensor]", name: str
) -> None:
    """Give a hybrid what it has learned; its components stay as they are."""
    result = hybrid.load_state_dict(learned, strict=False)
    lacking = [key for key in result.missing_keys if not key.startswith(COMPONENTS)]
    if lacking or result.unexpected_keys:
        raise ValueError(
            f"The entry {name} of the gallery does not fit this version: make it again with "
            "python -m tools.gallery."
        )

"""An exported run among the other runs again."""

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from manticore.archive.checks import check_events, check_metrics, read_config
from manticore.archive.figures import draw_panels
from manticore.archive.reading import NotAnExportError, unpack
from manticore.config.run import RunConfig
from manticore.runs import Run
from manticore.runs.gallery import is_gallery_run
from manticore.runs.trash import is_in_trash
from manticore.store.disk import writing
from manticore.store.events import read_events
from manticore.store.files import publish_folder, write_json
from manticore.store.folder import CONFIG_FILE, is_run_id, new_run_id, runs_root
from manticore.store.label import LABEL_FILE, parse_label, write_label
from manticore.store.layout import HYBRID_FOLDER, METRICS_FILE, RESULT_FOLDER, START_FOLDER
from manticore.store.status import write_status
from manticore.views.diagram.of_run import scene_of_run
from manticore.views.panels import Snapshot
from manticore.views.terminal.tables import outcome_label
from manticore.views.wording import facts, state_words

Admit = Callable[[RunConfig], RunConfig]


def import_run(
    file: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    *,
    owner: str | None = None,
    most_bytes: int | None = None,
    admit: Admit | None = None,
) -> Run:
    """Make a run of a zip file that `export_run` has written.

    It appears among the others only when it is whole. It has its old id, unless there is a run of
    that id already.

    Args:
        file: The zip file, which may come from anybody.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None. Made if missing.
        owner: Name of the user whom the run belongs to.
        most_bytes: How many bytes it may have when it is unpacked; as many as the disk has room
            for if None.
        admit: Given the configuration in the file, the one that the run is to have.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not an exported run, is damaged or too large.
        DiskFullError: The disk is full.
        OSError: It cannot be read, or the run cannot be written.
    """
    path, base = Path(file), runs_root(root)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: give a zip file that Export has made.")
    base.mkdir(parents=True, exist_ok=True)
    # No run id has a leading dot, so nobody takes the half-made folder for a run.
    making = base / f".import-{secrets.token_hex(8)}"
    try:
        with writing(making):
            making.mkdir()
            run_id = unpack(path, making, most_bytes)
            config = read_config((making / CONFIG_FILE).read_bytes(), owner)
            _finish(making, config if admit is None else admit(config))
            final = base / _free_id(run_id, config, base)
            publish_folder(making, final)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return Run(final)


def _finish(making: Path, config: RunConfig) -> None:
    """Check all parts of an unpacked run, and write those that are this machine's own."""
    # Here, because it needs torch, which takes seconds to import.
    from manticore.archive.model_checks import check_model

    check_events(making)
    check_metrics(making / RESULT_FOLDER / METRICS_FILE)
    write_json(making / CONFIG_FILE, config.model_dump(mode="json"))
    if (making / LABEL_FILE).is_file():
        try:
            write_label(making, parse_label((making / LABEL_FILE).read_bytes()))
        except ValueError as error:
            raise NotAnExportError("its name and note are damaged") from error
    write_status(making, "done", created=read_events(making)[0][0]["time"])
    _look(Run(making))
    for folder in (making / RESULT_FOLDER / HYBRID_FOLDER, making / START_FOLDER):
        if folder.is_dir():
            check_model(folder, config.n_blocks, len(config.components))


def _look(run: Run) -> None:
    """Refuse a run that cannot be shown: whoever looked at it would see nothing but an error."""
    try:
        row = run.summary()
        _ = state_words(row), facts(row), outcome_label(run, row["metrics"])
        shape = run.mixture_history().shape[1:]
        if shape != (run.config.n_blocks, len(run.config.components)):
            raise ValueError(f"The mixture weights have the shape {shape}.")
        scene_of_run(Snapshot.of(run))
        draw_panels(run)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise NotAnExportError("its events and its configuration do not fit together") from error


def _free_id(run_id: str, config: RunConfig, base: Path) -> str:
    """The id that a run had, or a new one if it cannot have that."""
    taken = (base / run_id).exists() if is_run_id(run_id) else True
    if taken or is_gallery_run(run_id) or is_in_trash(run_id, base):
        return new_run_id(config.name or config.stage)
    return run_id

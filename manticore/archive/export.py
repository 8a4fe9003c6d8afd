"""A run in one zip file: its hybrid as a Transformers folder, its figures, and all it tells."""

import os
import secrets
import zipfile
from pathlib import Path

from manticore.archive import layout
from manticore.archive.card import card_of, read_me
from manticore.archive.figures import NO_PNG, draw_panels, figures_page, pngs
from manticore.archive.notebook import again
from manticore.archive.tables import tables_of
from manticore.names import STAGES
from manticore.runs import Run
from manticore.store.disk import writing
from manticore.store.events import EVENTS_FILE, is_done
from manticore.store.folder import CONFIG_FILE
from manticore.store.label import LABEL_FILE
from manticore.store.layout import METRICS_FILE, RESULT_FOLDER, START_FOLDER


def export_run(run: Run, file: str | os.PathLike[str]) -> Path:
    """Write a run into a zip file, from which `import_run` makes it again.

    Args:
        run: A run that has come to its end.
        file: The zip file; an earlier one is replaced once the new one is whole.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: The run has no hybrid yet, or has not come to its end.
        DiskFullError: The disk is full.
        OSError: The file cannot be written.
    """
    file, source = Path(file), run.hybrid_source()
    if not (source / "config.json").is_file() or not is_done(run.events()):
        raise FileNotFoundError(
            f"Run {run.id} has only checkpoints so far: resume it, and wait for its end."
        )
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with writing(file), zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            _fill(archive, run, source)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return file


def _fill(archive: zipfile.ZipFile, run: Run, source: Path) -> None:
    kept = {
        layout.CONFIG_NAME: run.folder / CONFIG_FILE,
        EVENTS_FILE: run.folder / EVENTS_FILE,
        METRICS_FILE: run.folder / RESULT_FOLDER / METRICS_FILE,
        LABEL_FILE: run.folder / LABEL_FILE,
    }
    for name, path in kept.items():
        if name != LABEL_FILE or path.is_file():
            archive.write(path, f"{run.id}/{name}")
    title, drawn = run.name or run.id, draw_panels(run)
    images, why = pngs(drawn)
    written = {
        **tables_of(run.events()),
        layout.FIGURES_FILE: figures_page(title, drawn),
        **{f"{layout.FIGURES_FOLDER}/{name}.png": image for name, image in images.items()},
        layout.NOTEBOOK_FILE: again(run.config, title),
        f"{layout.HYBRID_PART}/{layout.README_FILE}": card_of(run, source),
    }
    for name, content in written.items():
        archive.writestr(f"{run.id}/{name}", content)
    _add_model(archive, source, f"{run.id}/{layout.HYBRID_PART}")
    start = run.folder / START_FOLDER
    # Where weights are what counts of the result, nothing continues from those before.
    if STAGES[run.config.stage].makes == "mixture" and start.is_dir():
        _add_model(archive, start, f"{run.id}/{layout.START_PART}")
    # Files of the run itself, and folders.
    names = {name.split("/", 1)[1] for name in archive.namelist()}
    names |= {f"{name.split('/')[0]}/" for name in names if "/" in name}
    about = read_me(run, sorted(names), NO_PNG.format(reason=why) if why else "")
    archive.writestr(f"{run.id}/{layout.README_FILE}", about)


def _add_model(archive: zipfile.ZipFile, folder: Path, name: str) -> None:
    for path in sorted(folder.iterdir()):
        if layout.is_model_file(path.name):
            # Weights do not get smaller.
            stored = path.suffix == ".safetensors"
            kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.write(path, f"{name}/{path.name}", kind)

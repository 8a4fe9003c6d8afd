"""Taking a zip file apart: only what an export holds, and no more of it than it declares."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from manticore.archive import layout
from manticore.store.events import EVENTS_FILE
from manticore.store.folder import CONFIG_FILE
from manticore.store.label import LABEL_FILE
from manticore.store.layout import HYBRID_FOLDER, METRICS_FILE, RESULT_FOLDER, START_FOLDER

MOST_FILES = 1000
LARGEST_TEXT = 256_000_000
"""Bytes of a file that is read as a whole, such as the events or a tokenizer."""
_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HOMES = {
    layout.CONFIG_NAME: Path(CONFIG_FILE),
    EVENTS_FILE: Path(EVENTS_FILE),
    METRICS_FILE: Path(RESULT_FOLDER, METRICS_FILE),
    LABEL_FILE: Path(LABEL_FILE),
}
"""Where the files of an export are in the folder of a run."""
_MODELS = {
    layout.HYBRID_PART: Path(RESULT_FOLDER, HYBRID_FOLDER),
    layout.START_PART: Path(START_FOLDER),
}
_NEEDED = (layout.CONFIG_NAME, EVENTS_FILE, METRICS_FILE, f"{layout.HYBRID_PART}/config.json")

REMEDY = "choose a zip file that Export has made, as it was downloaded"


class NotAnExportError(ValueError):
    """A file is not an exported run, or is damaged.

    Args:
        why: What is wrong with it, as a clause.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"This is not a run that was exported: {why}. Please {REMEDY}.")


def unpack(file: Path, folder: Path, most_bytes: int | None = None) -> str:
    """Unpack the files that a run needs; the others are for people and stay in the zip file.

    Args:
        file: The zip file; nothing in it is trusted.
        folder: Folder to write into; it exists and is empty.
        most_bytes: How many bytes the files may have together; as many as the disk has room for if
            None.

    Returns:
        The name of the folder in the zip file, which was the run's id.

    Raises:
        NotAnExportError: It is something else, or damaged.
        ValueError: It is too large.
        OSError: It cannot be read, or the files cannot be written.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            top, files = _chosen(archive)
            _check_room(sum(info.file_size for info in files.values()), folder, most_bytes)
            for home, info in files.items():
                _write(archive, info, folder / home)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise NotAnExportError(f"the zip file is damaged ({error})") from error
    return top


def _chosen(archive: zipfile.ZipFile) -> tuple[str, dict[Path, zipfile.ZipInfo]]:
    """The name of the one folder, and the files that a run needs by where they go."""
    infos = [info for info in archive.infolist() if not _is_plain_folder(info)]
    if len(infos) > MOST_FILES:
        raise NotAnExportError(f"it holds {len(infos)} files")
    tops = {info.filename.partition("/")[0] for info in infos}
    if len(tops) != 1:
        raise NotAnExportError("its files are not in one folder")
    (top,) = tops
    found: dict[Path, zipfile.ZipInfo] = {}
    names = set()
    for info in infos:
        name = info.filename.removeprefix(f"{top}/")
        _check_entry(info, name)
        if name in names:
            raise NotAnExportError(f"it holds {name} twice")
        names.add(name)
        if (home := _home(name)) is not None:
            found[home] = info
        elif not layout.is_for_people(name):
            raise NotAnExportError(f"it holds {name!r:.80}, which an export does not have")
    if missing := [name for name in _NEEDED if name not in names]:
        raise NotAnExportError(f"it lacks {', '.join(missing)}")
    return top, found


def _is_plain_folder(info: zipfile.ZipInfo) -> bool:
    """Whether an entry only names a folder, as some programs add them."""
    return info.is_dir() and not info.file_size and not _is_special(info)


def _is_special(info: zipfile.ZipInfo) -> bool:
    """Whether an entry is a link, a device or the like."""
    mode = stat.S_IFMT(info.external_attr >> 16)
    return mode not in (0, stat.S_IFREG, stat.S_IFDIR)


def _check_entry(info: zipfile.ZipInfo, name: str) -> None:
    if _is_special(info) or info.is_dir():
        raise NotAnExportError(f"{name!r:.80} is not a plain file")
    if info.flag_bits & 0x1:
        raise NotAnExportError("it is locked with a password")
    if info.compress_type not in _METHODS:
        raise NotAnExportError(f"{name!r:.80} is packed in an unusual way")
    if not name.endswith(".safetensors") and info.file_size > LARGEST_TEXT:
        raise NotAnExportError(f"{name!r:.80} has {info.file_size / 1e6:.0f} MB")


def _home(name: str) -> Path | None:
    """Where a file goes; None for one that a run does not need, or that nobody knows."""
    part, slash, file = name.partition("/")
    if not slash:
        return _HOMES.get(name)
    return _MODELS[part] / file if part in _MODELS and layout.is_model_file(file) else None


def _check_room(size: int, folder: Path, most_bytes: int | None) -> None:
    if most_bytes is not None and size > most_bytes:
        raise ValueError(
            f"The run has {size / 1e6:,.0f} MB when it is unpacked, and at most "
            f"{most_bytes / 1e6:,.0f} MB are taken here: import it with `manticore import FILE`."
        )
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ValueError(
            f"The run has {size / 1e6:,.0f} MB when it is unpacked, and the disk has room for "
            f"{free / 1e6:,.0f} MB: free some space, then try again."
        )


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Write one file; what is longer than it declares ends the import."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = info.file_size
    with archive.open(info) as packed, path.open("xb") as file:
        while chunk := packed.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise zipfile.BadZipFile(f"{info.filename} is longer than it says")
            file.write(chunk)
    if left:
        raise zipfile.BadZipFile(f"{info.filename} is cut short")

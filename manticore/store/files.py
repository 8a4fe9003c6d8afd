"""Files and folders that are never half-written."""

import json
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any, *, allow_nan: bool = False) -> None:
    """Replace `path` by `value` as JSON; a reader sees the old file or the new one, never a part.

    The disk has the whole file before it takes the name: a file that is renamed first may be empty
    after a power cut.

    Only one process may write a given path at a time (for a run folder: the holder of its lock).

    Args:
        path: File to write; its folder must exist.
        value: Anything that JSON can hold.
        allow_nan: Write numbers that are not finite as Python reads them; JSON has none.

    Raises:
        ValueError: A number is not finite, and `allow_nan` is off.
        OSError: The file cannot be written, for instance because the disk is full.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=allow_nan, indent=1) + "\n"
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder and below; a file that goes meanwhile does not count.

    Args:
        folder: The folder.
    """
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            status = path.lstat()
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return size


def publish_folder(partial: Path, final: Path) -> None:
    """Give a finished folder its name; a reader sees all of it or none.

    The disk has every file before the folder takes the name: a power cut right after leaves no
    empty ones.

    Args:
        partial: Folder whose files are written; it is renamed.
        final: Name next to it; a folder of that name is replaced.

    Raises:
        OSError: The files cannot be written, for instance because the disk is full.
    """
    for path in partial.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)

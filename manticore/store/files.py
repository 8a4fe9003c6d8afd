"""Files that are never half-written."""

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any, *, durable: bool = True, allow_nan: bool = False) -> None:
    """Replace `path` by `value` as JSON; a reader sees the old file or the new one, never a part.

    Only one process may write a given path at a time (for a run folder: the holder of its lock).

    Args:
        path: the file; its folder must exist.
        value: what JSON can hold.
        durable: wait until the disk has it (a heartbeat need not).
        allow_nan: write numbers that are not finite as Python reads them; JSON has none.

    Raises:
        ValueError: a number is not finite, and `allow_nan` is off.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=allow_nan, indent=1) + "\n"
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)

"""The file of finished trainings: one JSON object a line, whole lines only."""

import json
import logging
import os
from pathlib import Path
from typing import Any

RESULTS_FILE = "results.jsonl"

log = logging.getLogger(__name__)


class Results:
    """What is done, by id, in a folder that one process at a time writes to.

    A last line that was cut short, as by a kill, is taken away; a damaged line elsewhere is passed
    over.

    Args:
        folder: Must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RESULTS_FILE
        self.done: dict[str, dict[str, Any]] = {}
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            log.warning("%s: removed a torn last line of %d bytes", self.path, len(data) - whole)
            os.truncate(self.path, whole)
        for line in data[:whole].splitlines():
            result = _parse(line)
            if result is None:
                log.warning("%s: passed over a damaged line: %.80r", self.path, line)
            else:
                self.done[result["id"]] = result

    def add(self, result: dict[str, Any]) -> None:
        """Append a result, which has an `id`, and wait until the disk has it.

        Raises:
            OSError: It could not be written, as on a full disk; a part of it is taken back.
        """
        line = json.dumps(result, allow_nan=False) + "\n"
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            if self.path.exists():
                os.truncate(self.path, size)
            raise
        self.done[result["id"]] = result


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        result = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(result, dict) and {"id", "accuracy", "parameters"} <= result.keys()
    return result if whole else None

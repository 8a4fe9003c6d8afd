"""What people call a run, and what they note about it: `label.json` in its folder.

The configuration belongs to the worker, which resumes by it; a name that is given later, and a
note, are in a file of their own, which the worker neither reads nor writes.
"""

import logging
import secrets
import unicodedata
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from manticore.store.files import write_json

log = logging.getLogger(__name__)

LABEL_FILE = "label.json"
LONGEST_NAME = 120
LONGEST_NOTE = 2000
_LARGEST = 64_000
"""Bytes of a file; a longer one is not a label."""
_UNSEEN = {"Cc", "Cs", "Cf"}
"""Categories of characters that are not shown, or that turn the text around them."""


class Label(BaseModel):
    """A name and a note; "" where there is none.

    Attributes:
        name: Name of the run, in one line.
        note: Anything, in several lines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = ""
    note: str = ""

    @classmethod
    def of(cls, name: str, note: str) -> Self:
        """A label of what people typed, without surrounding space and invisible characters.

        Args:
            name: Name of the run.
            note: Note on the run.

        Raises:
            ValueError: One of them is too long.
        """
        name = _shown(" ".join(name.split()))
        note = "\n".join(_shown(line).rstrip() for line in note.splitlines()).strip()
        for what, text, longest in (("name", name, LONGEST_NAME), ("note", note, LONGEST_NOTE)):
            if len(text) > longest:
                raise ValueError(
                    f"The {what} has {len(text)} characters: shorten it to at most {longest}."
                )
        return cls(name=name, note=note)


def _shown(line: str) -> str:
    return "".join(
        " " if char == "\t" else char
        for char in line
        if char == "\t" or unicodedata.category(char) not in _UNSEEN
    )


def read_label(folder: Path) -> Label:
    """The label of a run; an empty one where there is none, or a damaged one.

    Args:
        folder: Folder of the run.
    """
    path = folder / LABEL_FILE
    try:
        return parse_label(path.read_bytes())
    except FileNotFoundError:
        return Label()
    except ValueError:
        log.debug("%s is damaged", path)
        return Label()


def parse_label(data: bytes) -> Label:
    """The label that a file holds.

    Args:
        data: Content of the file.

    Raises:
        ValueError: It is not a label.
    """
    if len(data) > _LARGEST:
        raise ValueError(f"A label of {len(data)} bytes is too large: use at most {_LARGEST}.")
    try:
        found = Label.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(f"{LABEL_FILE} does not hold a name and a note.") from error
    return Label.of(found.name, found.note)


def write_label(folder: Path, label: Label) -> None:
    """Write the label of a run; a reader sees the old one or the new one, never a part.

    Args:
        folder: Folder of the run.
        label: The label.

    Raises:
        OSError: The file cannot be written, for instance because the disk is full.
    """
    # Several people may write at the same time: each to a file of its own first.
    own = folder / f".{LABEL_FILE}.{secrets.token_hex(4)}"
    try:
        write_json(own, label.model_dump())
        own.replace(folder / LABEL_FILE)
    except OSError:
        own.unlink(missing_ok=True)
        raise

"""Texts that visitors upload: checked, then kept with the runs, which may be resumed much later."""

import os
import re
import secrets
from pathlib import Path

from manticore.data.reading import read_blocks
from manticore.data.tables import READERS, read_column
from manticore.store.disk import writing

from .guard import LARGEST_UPLOAD

KINDS = (".txt", ".md", ".jsonl", ".csv")
FOLDER = "uploads"
"""Folder among those of the runs; no run has this id, as ids begin with a date."""
PREFIX = "upload:"
MOST_BYTES = 100 * LARGEST_UPLOAD
"""All texts that the page keeps."""
_ID = re.compile(r"[0-9a-f]{16}\.(txt|md|jsonl|csv)", re.ASCII)


class Uploads:
    """The texts that visitors of a page have uploaded.

    Args:
        root: Folder of all runs.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER

    def is_one(self, source: str) -> bool:
        """Whether a source has the form `upload:ID`, which `add` gives.

        Args:
            source: What a visitor typed or chose.
        """
        return source.startswith(PREFIX)

    def path(self, source: str) -> Path:
        """The file of an uploaded text.

        Args:
            source: What `add` gave; it is not trusted.

        Raises:
            FileNotFoundError: There is no such text.
        """
        name = source.removeprefix(PREFIX)
        path = self.folder / name
        if not _ID.fullmatch(name) or not path.is_file():
            raise FileNotFoundError("This uploaded text is not there any more: upload it again.")
        return path

    def add(self, file: Path, name: str) -> str:
        """Keep a copy of a text; its source, as a visitor's form has it.

        Args:
            file: The text.
            name: Name that the visitor's file has.

        Raises:
            ValueError: The file is of another kind, too large, empty or not UTF-8 text, a table
                lacks the column `text`, or the page holds as many texts as it may.
            DiskFullError: The disk is full.
            OSError: The text cannot be read or written.
        """
        kind = Path(name).suffix.lower()
        if kind not in KINDS:
            raise ValueError(
                f"{name!r:.80} is not a text: upload a file that ends in {', '.join(KINDS)}."
            )
        size = file.stat().st_size
        if size > LARGEST_UPLOAD:
            raise ValueError(
                f"{name!r:.80} has {size / 1e6:.1f} MB: upload at most "
                f"{LARGEST_UPLOAD / 1e6:.0f} MB."
            )
        if size + self._size() > MOST_BYTES:
            raise ValueError(
                "The page holds as many uploaded texts as it may: ask whoever runs it to remove "
                f"old ones from the folder {FOLDER} among its runs."
            )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = self.folder / f"{secrets.token_hex(8)}{kind}"
        # Not a copy of the file's rights: nobody else on the machine reads it.
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with writing(kept), os.fdopen(descriptor, "wb") as copy:
            copy.write(file.read_bytes())
        try:
            check_text(kept)
        except (ValueError, LookupError) as error:
            kept.unlink()
            raise ValueError(str(error).replace(str(kept), name)) from None
        return f"{PREFIX}{kept.name}"

    def _size(self) -> int:
        if not self.folder.is_dir():
            return 0
        return sum(path.stat().st_size for path in self.folder.iterdir())


def check_text(path: Path) -> None:
    """Refuse a file that is not a text, all of which is read.

    Args:
        path: The file.

    Raises:
        ValueError: It is empty, damaged or not UTF-8, or a table without the column `text`.
    """
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":  # a small packed file may be a huge one
            raise ValueError(f"{path} is compressed: unpack it first.")
    if path.suffix in READERS:
        pieces = [str(cell or "") for _, cell in read_column([path], "text")]
    else:
        pieces = list(read_blocks(path))
    if not any(piece.strip() for piece in pieces):
        raise ValueError(f"{path} holds no text: upload one with at least two tokens.")

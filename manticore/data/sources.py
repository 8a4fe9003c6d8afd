"""Where text comes from: files, tables and generated stories, each split in "train" and "valid"."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol

from manticore.data.reading import Piece, cut_pieces, read_blocks, split_offset
from manticore.data.tables import Row
from manticore.stories.generator import generate_stories

PARTS: tuple[str, ...] = ("train", "valid")


class TextSource(Protocol):
    """A text with a held-out part."""

    @property
    def name(self) -> str:
        """Short name of the text."""
        ...

    def fingerprint(self) -> object:
        """A JSON-able value that changes when the pieces change."""
        ...

    def pieces(self, part: str) -> Iterator[Piece]:
        """The pieces of one part, "train" or "valid" (see `reading`)."""
        ...


def is_held_out(index: int, fraction: float, seed: int) -> bool:
    """Whether document `index` belongs to the held-out part: evenly spaced, `seed` shifts them.

    Of any ceil(1 / fraction) documents in a row at least one is.
    """
    shifted = index + seed % math.ceil(1 / fraction)
    return math.floor((shifted + 1) * fraction + 1e-9) > math.floor(shifted * fraction + 1e-9)


def file_state(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Path, size in bytes and time of the last change (ns) of each file."""
    states = ((path, path.stat()) for path in paths)
    return [(str(path), state.st_size, state.st_mtime_ns) for path, state in states]


def at_least_one(fraction: float, n_documents: int) -> float:
    """The held-out fraction, raised so that at least one of `n_documents` is held out."""
    return max(fraction, 1 / n_documents)


@dataclass(frozen=True)
class FileSource:
    """Text files, one document each, or divided by `separator`.

    Of several files some are held out whole; of a single file the tail is, from the beginning of a
    paragraph.

    Attributes:
        name: Short name of the file or folder.
        paths: The files.
        valid_fraction: Share that is held out, of the files or of the single file's bytes.
        seed: Decides which of several files are held out.
        separator: Text between the documents of a file; None for one document per file.
    """

    name: str
    paths: tuple[Path, ...]
    valid_fraction: float
    seed: int
    separator: str | None

    def fingerprint(self) -> object:
        """A JSON-able value that changes when the pieces change."""
        return ["files", file_state(self.paths), self.valid_fraction, self.seed, self.separator]

    def pieces(self, part: str) -> Iterator[Piece]:
        """The pieces of one part.

        Raises:
            ValueError: A file is not UTF-8 text.
        """
        if len(self.paths) == 1:
            path = self.paths[0]
            border = split_offset(path, 1 - self.valid_fraction, self.separator)
            start, end = (0, border) if part == "train" else (border, None)
            yield from cut_pieces(read_blocks(path, start, end), separator=self.separator)
            return
        fraction = at_least_one(self.valid_fraction, len(self.paths))
        for i, path in enumerate(self.paths):
            if is_held_out(i, fraction, self.seed) == (part == "valid"):
                yield from cut_pieces(read_blocks(path), separator=self.separator)


@dataclass(frozen=True)
class RowSource:
    """The text column of a table, every row a document; evenly spaced rows are held out.

    Attributes:
        name: Short name of the table.
        rows: Starts at the first row: gives where each row is and what it has in the column.
        origin: JSON-able value that changes when the rows change.
        text_column: Name of the column.
        valid_fraction: Share of the rows that is held out; at least one row is.
        seed: Decides which rows are held out.
    """

    name: str
    rows: Callable[[], Iterator[Row]] = field(repr=False)
    origin: object = field(repr=False)
    text_column: str
    valid_fraction: float
    seed: int

    def fingerprint(self) -> object:
        """A JSON-able value that changes when the pieces change."""
        return ["rows", self.name, self.origin, self.text_column, self.valid_fraction, self.seed]

    def check(self) -> None:
        """Raise ValueError unless some row has text; what comes before the first is read."""
        if not any(value for _, value in self.rows()):
            raise ValueError(
                f"No row of {self.name} has text in column {self.text_column!r}. Choose another "
                "text_column or another file."
            )

    def pieces(self, part: str) -> Iterator[Piece]:
        """The pieces of one part; rows without text are left out.

        Raises:
            ValueError: A row holds something else than text.
        """
        fraction = self._fraction
        for i, (place, value) in enumerate(self.rows()):
            if is_held_out(i, fraction, self.seed) == (part == "valid") and value is not None:
                yield from cut_pieces([self._text(place, value)])

    @cached_property
    def _fraction(self) -> float:
        """The held-out fraction, of which the first rows tell whether it is one row at least."""
        enough = math.ceil(1 / self.valid_fraction)
        few = sum(1 for _ in islice(self.rows(), enough))
        return at_least_one(self.valid_fraction, few) if few else self.valid_fraction

    def _text(self, place: str, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(
                f"{place} has {type(value).__name__} in column {self.text_column!r} where text is "
                "needed. Choose another text_column."
            )
        try:
            value.encode()
        except UnicodeEncodeError as error:
            found = value[error.start]
            raise ValueError(
                f"{place}: the text in column {self.text_column!r} has {found!a}, half of a "
                "surrogate pair, which stands for no character. Remove it or write U+FFFD instead."
            ) from None
        return value


@dataclass(frozen=True)
class StorySource:
    """Generated stories; the held-out ones come from a stream of their own.

    Attributes:
        name: Name of the bundled text.
        language: Language of the stories (see `generate_stories`).
        n_stories: Number of stories, held-out ones included.
        valid_fraction: Share of the stories that is held out; at least one is.
        seed: Random seed of the stories.
    """

    name: str
    language: str
    n_stories: int
    valid_fraction: float
    seed: int

    @property
    def n_valid(self) -> int:
        """Number of held-out stories."""
        return max(1, round(self.n_stories * self.valid_fraction))

    def fingerprint(self) -> object:
        """A JSON-able value that changes when the pieces change."""
        # The first stories stand for the grammar: a changed one must not find an old cache.
        sample = list(generate_stories(self.language, n_stories=20, seed=self.seed))
        return ["stories", self.language, self.n_stories, self.valid_fraction, self.seed, sample]

    def pieces(self, part: str) -> Iterator[Piece]:
        """The pieces of one part: a story each."""
        n = self.n_valid if part == "valid" else self.n_stories - self.n_valid
        stories = generate_stories(self.language, n_stories=n, seed=self.seed, stream=part)
        return ((story, True) for story in stories)

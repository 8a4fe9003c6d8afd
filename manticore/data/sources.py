"""Where text comes from: files and the story generator, each split in "train" and "valid"."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from manticore.data.reading import Piece, cut_pieces, read_blocks, split_offset
from manticore.stories.generator import generate_stories

PARTS = ("train", "valid")


class TextSource(Protocol):
    """A text with a held-out part."""

    name: str

    def fingerprint(self) -> object:
        """A JSON-able value that changes when the pieces change."""

    def pieces(self, part: str) -> Iterator[Piece]:
        """The pieces of one part (see `reading`)."""


def is_held_out(index: int, fraction: float, seed: int) -> bool:
    """Whether document `index` belongs to the held-out part: evenly spaced, `seed` shifts them.

    Of any ceil(1 / fraction) documents in a row at least one is.
    """
    shifted = index + seed % math.ceil(1 / fraction)
    return math.floor((shifted + 1) * fraction + 1e-9) > math.floor(shifted * fraction + 1e-9)


def at_least_one(fraction: float, n_documents: int) -> float:
    """The held-out fraction, raised so that at least one of `n_documents` is held out."""
    return max(fraction, 1 / n_documents)


@dataclass(frozen=True)
class FileSource:
    """Text files, one document each, or divided by `separator`.

    Of several files some are held out whole (which ones is decided by `seed`); of a single file the
    tail is, from a paragraph's beginning on.
    """

    name: str
    paths: tuple[Path, ...]
    valid_fraction: float
    seed: int
    separator: str | None

    def fingerprint(self) -> object:
        files = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in self.paths]
        return ["files", files, self.valid_fraction, self.seed, self.separator]

    def pieces(self, part: str) -> Iterator[Piece]:
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
class StorySource:
    """Generated stories; the held-out ones come from a stream of their own."""

    name: str
    language: str
    n_stories: int
    valid_fraction: float
    seed: int

    @property
    def n_valid(self) -> int:
        """How many of the stories are held out."""
        return max(1, round(self.n_stories * self.valid_fraction))

    def fingerprint(self) -> object:
        # The first stories stand for the grammar: a changed one must not find an old cache.
        sample = list(generate_stories(self.language, n_stories=20, seed=self.seed))
        return ["stories", self.language, self.n_stories, self.valid_fraction, self.seed, sample]

    def pieces(self, part: str) -> Iterator[Piece]:
        n = self.n_valid if part == "valid" else self.n_stories - self.n_valid
        stories = generate_stories(self.language, n_stories=n, seed=self.seed, stream=part)
        return ((story, True) for story in stories)

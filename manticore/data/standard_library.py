"""Python code to train and measure on: the standard library of the Python that runs."""

from __future__ import annotations

import hashlib
import io
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from manticore.data.reading import Piece, cut_pieces

LEFT_OUT = {
    "__phello__": "a test of frozen modules",
    "__pycache__": "compiled files",
    "distutils": "Python 3.12 removed it",
    "encodings": "most of it is character tables, generated from mapping files",
    "ensurepip": "it installs pip, and brings it along",
    "entities": "a table of HTML's character names",
    "idlelib": "an editor rather than a library",
    "lib2to3": "Python 3.13 removed it; its grammar tables are data",
    "pydoc_data": "help texts, generated from the documentation",
    "stringprep": "generated tables of characters",
    "test": "tests repeat few statements very often",
    "tests": "as test",
    "turtledemo": "demonstrations",
}
"""Packages and modules of the standard library that are not read, and why."""
_BUILD_SETTINGS = "_sysconfigdata"  # a dictionary of paths and flags of one machine


@dataclass(frozen=True)
class StandardLibrarySource:
    """The modules of the standard library, one document each, with comments and licenses.

    Only what can be imported by name is read, and neither tests nor generated tables (`LEFT_OUT`).
    A module is held out if a hash of its name is among the lowest, so that the same modules are
    held out in every version of Python and under every seed: the bundled component for code has
    not read those of the default fraction.

    Attributes:
        name: Name of the bundled text.
        valid_fraction: Share of the modules that is held out, about; at least one is.
        root: Folder of the standard library; None for that of the running Python.
    """

    name: str
    valid_fraction: float
    root: Path | None = None

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Files by name of the module, in order of the names.

        Raises:
            FileNotFoundError: This Python comes without the source of its standard library.
        """
        root = self.root or Path(sysconfig.get_path("stdlib"))
        found = dict(sorted(_modules(root))) if root.is_dir() else {}
        if not found:
            raise FileNotFoundError(
                f"This Python has no source of its standard library in {root}. Use a Python that "
                "was installed with it, or give a folder of text files."
            )
        return found

    def fingerprint(self) -> object:
        """A JSON-able value that changes when the pieces change."""
        version = [sys.implementation.name, *sys.version_info[:3]]
        sizes = [(name, path.stat().st_size) for name, path in self.modules.items()]
        return ["standard library", version, sizes, self.valid_fraction]

    def pieces(self, part: str) -> Iterator[Piece]:
        """The pieces of one part: of a module each.

        Raises:
            FileNotFoundError: This Python comes without the source of its standard library.
        """
        places = {name: hash_place(name) for name in self.modules}
        border = max(self.valid_fraction, min(places.values()))
        for name, path in self.modules.items():
            if (places[name] <= border) == (part == "valid"):
                yield from cut_pieces([_read(path)])


def hash_place(name: str) -> float:
    """Place of a module between 0 and 1, decided by its name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def _modules(folder: Path, package: tuple[str, ...] = ()) -> Iterator[tuple[str, Path]]:
    """Name and file of every module in a folder; what no import statement can name is passed by."""
    for path in folder.iterdir():
        stem = path.name.removesuffix(".py")
        # "site-packages" and "config-3.11-x86_64-linux-gnu" are not identifiers.
        if not stem.isidentifier() or stem in LEFT_OUT or stem.startswith(_BUILD_SETTINGS):
            continue
        if path.is_dir():
            yield from _modules(path, (*package, stem))
        elif stem != path.name:
            yield ".".join(package if stem == "__init__" else (*package, stem)), path


def _read(path: Path) -> str:
    """The text of a module, in the encoding that it declares."""
    with path.open("rb") as file:
        encoding, _ = tokenize.detect_encoding(file.readline)
        file.seek(0)
        return io.TextIOWrapper(file, encoding).read()

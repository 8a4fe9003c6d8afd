"""What kind of source a name means, and clear errors for names without a meaning."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from manticore.data.file_kinds import data_suffix
from manticore.data.hub import open_dataset
from manticore.data.sources import FileSource, StorySource, TextSource
from manticore.data.standard_library import StandardLibrarySource
from manticore.data.tables import READERS
from manticore.names import choose
from manticore.paths import expanded
from manticore.stories import LANGUAGES

TEXT_SUFFIXES = (".txt", ".md", ".text")
PYTHON = "python"
STORIES = {f"stories-{language}": language for language in LANGUAGES}
BUNDLED = (*STORIES, PYTHON)
N_STORIES = 4400  # about four million characters
LONGEST_NAME = 1000
_BUNDLED_SPEC = re.compile(r"bundled:(?P<name>[^?]*)(\?n_stories=(?P<n>\d+))?")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def check_source(source: str) -> None:
    """Refuse what cannot name a text, before anything is opened or downloaded.

    Args:
        source: The source as `load_text` takes it.

    Raises:
        ValueError: Unknown bundled text, unknown home folder, a text instead of its name, or a
            split of a text file.
        FileNotFoundError: What can only have been meant as a path does not exist.
    """
    if source.startswith("bundled:"):
        _bundled_name(source)
        return
    if "\n" in source or "\0" in source or len(source) > LONGEST_NAME:
        raise ValueError(
            f"{source[:40]!r}... is a text and not the name of one. Save it as a .txt file and "
            "give its path."
        )
    if not source.strip():
        raise ValueError("The name of the text is empty. Give a file, a folder or a data set.")
    if not expanded(source).exists():
        _dataset_name(source)


def open_source(spec: dict[str, Any]) -> TextSource:
    """Open the source that `spec` (arguments of `load_text`) names.

    Raises:
        FileNotFoundError: As `load_text`, like the errors that follow.
        ConnectionError: A data set cannot be reached.
        ValueError: The source is of no known kind, is damaged, or has no use for an argument.
    """
    source: str = spec["source"]
    check_source(source)
    path = Path(source)
    if source.startswith("bundled:"):
        _refuse(spec, "a bundled text", "document_separator", "config_name", "text_column")
        return _open_bundled(spec)
    if path.is_file() and data_suffix(path) not in READERS:
        _refuse(spec, "a text file", "config_name", "text_column")
        return _open_files(path.name, [path], spec)
    if path.is_dir():
        texts, tables = _files_of_folder(path)
        if texts:
            _refuse(spec, "a folder of text files", "config_name", "text_column")
            return _open_files(path.name, texts, spec)
        if not tables:
            known = ", ".join((*TEXT_SUFFIXES, *READERS))
            raise ValueError(
                f"The folder {path} has no file of a known kind. Give one with files that end in "
                f"{known}."
            )
    elif path.exists() and not path.is_file():
        raise ValueError(f"{path} is neither a file nor a folder. Save the text in a file.")
    _refuse(spec, "a data set", "document_separator")
    location, split = _dataset_name(source)
    if Path(location).is_file():
        _refuse(spec, "a data file", "config_name")
    names = ("text_column", "config_name", "streaming", "valid_fraction", "seed")
    return open_dataset(location, split, **{name: spec[name] for name in names})


def _files_of_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Text files and tables in a folder; a README next to tables is not a text to train on."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    texts = [path for path in files if data_suffix(path) in TEXT_SUFFIXES]
    tables = [path for path in files if data_suffix(path) in READERS]
    if tables:
        texts = [path for path in texts if path.name.lower() != "readme.md"]
    return texts, tables


def _refuse(spec: dict[str, Any], kind: str, *names: str) -> None:
    """Raise for arguments that were given but mean nothing for this kind of source."""
    for name in names:
        if spec[name] != ("text" if name == "text_column" else None):
            raise ValueError(
                f"{name}={spec[name]!r} does not apply to {kind} ({spec['source']}). Leave it out."
            )


def _bundled_name(source: str) -> tuple[str, int]:
    """Name and number of stories of a bundled text."""
    match = _BUNDLED_SPEC.fullmatch(source)
    name = choose(source.removeprefix("bundled:").partition("?")[0], BUNDLED, "bundled text")
    if name == PYTHON and (match is None or match["n"]):
        raise ValueError(
            f"{source!r} is malformed: code has no number of stories. Write bundled:{name}, and "
            "max_tokens for less of it."
        )
    if match is None:
        raise ValueError(f"{source!r} is malformed. Write bundled:{name}?n_stories=N, N a number.")
    return name, int(match["n"] or N_STORIES)


def _open_bundled(spec: dict[str, Any]) -> TextSource:
    name, n_stories = _bundled_name(spec["source"])
    if name == PYTHON:
        return StandardLibrarySource(name, spec["valid_fraction"])
    source = StorySource(name, STORIES[name], n_stories, spec["valid_fraction"], spec["seed"])
    if n_stories - source.n_valid < 1:
        raise ValueError(
            f"{spec['source']} has {n_stories} stories, of which valid_fraction="
            f"{spec['valid_fraction']} leaves none to train on. Ask for more stories."
        )
    return source


def _open_files(name: str, paths: list[Path], spec: dict[str, Any]) -> FileSource:
    filled = tuple(path for path in paths if path.stat().st_size)
    if not filled:
        raise ValueError(f"{spec['source']} is empty. Give a text with at least two tokens.")
    return FileSource(
        name, filled, spec["valid_fraction"], spec["seed"], spec["document_separator"]
    )


def _dataset_name(source: str) -> tuple[str, str]:
    """Split "location:split" (the split is "train" if it is left out).

    Raises:
        FileNotFoundError: The source can only have been meant as a path.
        ValueError: A split of a text file.
    """
    location, _, split = source.partition(":")
    path = Path(location)
    if path.is_file() and split and data_suffix(path) not in READERS:
        raise ValueError(
            f"{path} is a text file, which has no split {split!r}. Give the path alone; "
            "valid_fraction decides how much is held out."
        )
    if path.exists():
        return location, split or "train"
    is_path = data_suffix(path) in (*TEXT_SUFFIXES, *READERS) or not _HUB_NAME.fullmatch(location)
    if is_path or (not split and "/" not in location):
        raise FileNotFoundError(_missing(path))
    return location, split or "train"


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no file {path}: its folder {folder} does not exist."
    near = difflib.get_close_matches(path.name, [p.name for p in folder.iterdir()], n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}?" if near else "No name in its folder is similar."
    return f"There is no file {path}. {hint} A data set is written owner/name:split."

"""What kind of source a name means, and clear words for names that mean none."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from manticore.data.hub import BUILDERS, open_dataset
from manticore.data.sources import FileSource, StorySource, TextSource

TEXT_SUFFIXES = (".txt", ".md", ".text")
BUNDLED = {"stories-en": "en", "stories-es": "es", "stories-mixed": "mixed"}
N_STORIES = 4400  # about four million characters
LONGEST_NAME = 1000
_BUNDLED_SPEC = re.compile(r"bundled:(?P<name>[^?]*)(\?n_stories=(?P<n>\d+))?")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def check_source(source: str) -> None:
    """Refuse what can name no text, before anything is opened or downloaded.

    Raises:
        ValueError: No such bundled text, or a text itself in place of its name.
        FileNotFoundError: What can only have been meant as a path is not there.
    """
    if source.startswith("bundled:"):
        _bundled_name(source)
        return
    if "\n" in source or len(source) > LONGEST_NAME:
        raise ValueError(
            f"{source[:40]!r}... is a text, and not where one is: save it as a .txt file and give "
            "the path of that"
        )
    if not Path(source).expanduser().exists():
        _dataset_name(source)


def open_source(spec: dict[str, Any]) -> TextSource:
    """Find out what kind of source `spec` (arguments of `load_text`) names, and open it.

    Raises as `load_text` does.
    """
    source: str = spec["source"]
    check_source(source)
    path = Path(source)
    if source.startswith("bundled:"):
        _refuse(spec, "a bundled text", "document_separator", "config_name", "text_column")
        return _open_bundled(spec)
    if path.is_file() and path.suffix.lower() not in BUILDERS:
        _refuse(spec, "a text file", "config_name", "text_column")
        return _open_files(path.name, [path], spec)
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in TEXT_SUFFIXES]
        if files:
            _refuse(spec, "a folder of text files", "config_name", "text_column")
            return _open_files(path.name, files, spec)
        if not any(p.suffix.lower() in BUILDERS for p in path.rglob("*")):
            known = ", ".join((*TEXT_SUFFIXES, *BUILDERS))
            raise ValueError(f"the folder {path} holds no file of a known kind ({known})")
    _refuse(spec, "a data set", "document_separator")
    location, split = _dataset_name(source)
    if Path(location).is_file():
        _refuse(spec, "a data file", "config_name")
    names = ("text_column", "config_name", "streaming", "valid_fraction", "seed")
    return open_dataset(location, split, **{name: spec[name] for name in names})


def _refuse(spec: dict[str, Any], kind: str, *names: str) -> None:
    """Raise for arguments that were given but mean nothing for this kind of source."""
    for name in names:
        if spec[name] != ("text" if name == "text_column" else None):
            raise ValueError(f"{name}={spec[name]!r} does not apply to {kind} ({spec['source']})")


def _bundled_name(source: str) -> tuple[str, int]:
    """Name and number of stories of a bundled text."""
    match = _BUNDLED_SPEC.fullmatch(source)
    name = match["name"] if match else source.removeprefix("bundled:")
    if not match or name not in BUNDLED:
        near = difflib.get_close_matches(name, BUNDLED, n=3, cutoff=0.0)
        raise ValueError(
            f"no bundled text is called {name!r}: choose {' or '.join(near)} after bundled:, "
            "with ?n_stories=N at the end for another size"
        )
    return name, int(match["n"] or N_STORIES)


def _open_bundled(spec: dict[str, Any]) -> StorySource:
    name, n_stories = _bundled_name(spec["source"])
    source = StorySource(name, BUNDLED[name], n_stories, spec["valid_fraction"], spec["seed"])
    if n_stories - source.n_valid < 1:
        raise ValueError(
            f"{spec['source']}: with {n_stories} stories and valid_fraction "
            f"{spec['valid_fraction']} none is left to train on: ask for more stories"
        )
    return source


def _open_files(name: str, paths: list[Path], spec: dict[str, Any]) -> FileSource:
    filled = tuple(path for path in paths if path.stat().st_size)
    if not filled:
        raise ValueError(f"{spec['source']} is empty: there is nothing to train on")
    return FileSource(
        name, filled, spec["valid_fraction"], spec["seed"], spec["document_separator"]
    )


def _dataset_name(source: str) -> tuple[str, str]:
    """Split "location:split" (split "train" if it is left out).

    Raises FileNotFoundError for what can only have been meant as a path.
    """
    location, _, split = source.partition(":")
    path = Path(location)
    if path.exists():
        return location, split or "train"
    is_path = path.suffix.lower() in (*TEXT_SUFFIXES, *BUILDERS) or not _HUB_NAME.fullmatch(
        location
    )
    if is_path or (not split and "/" not in location):
        raise FileNotFoundError(_missing(path))
    return location, split or "train"


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no file {path}: its folder {folder} does not exist either"
    near = difflib.get_close_matches(path.name, [p.name for p in folder.iterdir()], n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else "no name in its folder is like it."
    return f"there is no file {path}: {hint} A data set is written owner/name:split"

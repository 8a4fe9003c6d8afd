"""Text classified byte by byte: whether a film was liked (IMDB), as published.

The stand-in tells apart which package of Python's standard library some bytes of code are from.
Their authors, words and habits differ; no module is in two parts of the data.
"""

import functools
import platform
from collections.abc import Sequence

import numpy as np
from pydantic import Field, PositiveInt

from manticore.data.standard_library import StandardLibrarySource, hash_place
from manticore.tasks.drawing import IGNORED, Arrays, Draw, Part
from manticore.tasks.lra.published import published
from manticore.tasks.lra.settings import BYTES, STAND_IN, BorrowedSetting, is_enough
from manticore.tasks.task import Task

HUB = "stanfordnlp/imdb"
OPINIONS = ("negative", "positive")
PACKAGES = ("asyncio", "ctypes", "email", "http", "importlib", "multiprocessing", "unittest", "xml")
"""Packages that every Python has, of several modules each."""
_PARTS: tuple[Part, ...] = ("train", "valid", "train", "test", "train")
"""Parts that the modules of a package fall to in turn, in the order of their hashes."""


def _edition() -> str:
    return ".".join(platform.python_version_tuple()[:2])


class ByteText(BorrowedSetting, frozen=True):
    """Setting of text classification."""

    vocabulary: int = Field(BYTES, ge=BYTES, le=BYTES)
    length: PositiveInt = 2_048
    """Bytes of a text that are read."""
    train_examples: PositiveInt = 22_500
    valid_examples: PositiveInt = 2_500
    test_examples: PositiveInt = 25_000
    edition: str = Field(default_factory=_edition)
    """Version of the Python whose standard library the stand-in shows."""


def _generate(setting: ByteText, draw: Draw) -> Arrays:
    if setting.data == STAND_IN:
        return _from_code(setting, draw)
    return _from_reviews(setting, draw)


def _labels(setting: ByteText) -> Sequence[str]:
    return PACKAGES if setting.data == STAND_IN else OPINIONS


def byte_rows(texts: Sequence[bytes], length: int) -> np.ndarray:
    """The first bytes of texts, (N, T), padded with -100 at the end.

    Args:
        texts: Texts as bytes.
        length: T, the number of bytes.
    """
    rows = np.full((len(texts), length), IGNORED, np.int16)
    for row, text in zip(rows, texts, strict=True):
        read = np.frombuffer(text[:length], np.uint8)
        row[: len(read)] = read
    return rows


def _from_reviews(setting: ByteText, draw: Draw) -> Arrays:
    columns = {"text": "the review", "label": "0 or 1"}
    table = published(setting.data, HUB, "test" if draw.part == "test" else "train", columns)
    order = np.random.default_rng(0).permutation(len(table))  # they are sorted by label
    if draw.part != "test":
        held_out = max(1, len(order) // 10)
        order = order[:held_out] if draw.part == "valid" else order[held_out:]
    is_enough(len(order), draw, "reviews")
    rows = table.select(draw.rng.permutation(order)[: draw.n_examples])
    texts = [text.encode() for text in rows["text"]]
    return byte_rows(texts, setting.length), np.array(rows["label"], np.int64)


def _from_code(setting: ByteText, draw: Draw) -> Arrays:
    """Windows of modules: each package as often, a module as often as it is long."""
    if setting.edition != _edition():
        raise ValueError(
            f"The setting shows the standard library of Python {setting.edition}, and this is "
            f"Python {_edition()}: leave edition out, or run that Python."
        )
    labels = draw.rng.permutation(np.arange(draw.n_examples) % len(PACKAGES))
    code = _code(draw.part)
    windows = []
    for label in labels:
        text = code[label]
        start = int(draw.rng.integers(max(1, len(text) - setting.length)))
        windows.append(text[start : start + setting.length])
    return byte_rows(windows, setting.length), labels


@functools.lru_cache(maxsize=3)
def _code(part: Part) -> list[bytes]:
    """For each package the modules of one part, one after the other."""
    modules = StandardLibrarySource("standard library", 0.0).modules
    code = []
    for package in PACKAGES:
        own = [name for name in modules if name.split(".")[0] == package]
        own.sort(key=hash_place)
        mine = [name for i, name in enumerate(own) if _PARTS[i % len(_PARTS)] == part]
        code.append(b"\n".join(modules[name].read_bytes() for name in mine))
    return code


TASK = Task(
    setting=ByteText,
    generate=_generate,
    labels=_labels,
    quick={
        "length": 64,
        "train_examples": 12_800,
        "valid_examples": 500,
        "test_examples": 1_000,
    },
    paper={"data": "published"},
    regimes={
        "paper": {"width": 256, "n_blocks": 4, "least_steps": 20_000},
    },
)

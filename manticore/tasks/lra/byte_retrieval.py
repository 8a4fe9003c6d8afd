"""Two documents, each read on its own, byte by byte: do they belong together?

As published, whether one paper cites the other (the ACL Anthology Network). The stand-in shows a
story without its end, and the end of a story: of the same one, or of another. Both name who it is
about. Stories are told in two languages, so that half of the others give themselves away by theirs.
"""

from collections.abc import Iterator

import numpy as np
from pydantic import Field, PositiveInt

from manticore.stories import generate_stories
from manticore.tasks.drawing import Arrays, Draw
from manticore.tasks.lra.byte_text import byte_rows
from manticore.tasks.lra.published import published
from manticore.tasks.lra.settings import BYTES, STAND_IN, BorrowedSetting, is_enough
from manticore.tasks.task import Task

HUB = "OpenNLPLab/lra"
FILES = {
    part: f"data/aan/new_aan_pairs.{name}.tsv"
    for part, name in {"train": "train", "valid": "eval", "test": "test"}.items()
}
COLUMNS = {"label": "0 or 1", "text1": "a paper", "text2": "another paper"}


class ByteRetrieval(BorrowedSetting, frozen=True):
    """Setting of retrieval."""

    vocabulary: int = Field(BYTES, ge=BYTES, le=BYTES)
    length: PositiveInt = 4_000
    """Bytes of each document that are read."""
    train_examples: PositiveInt = 147_086
    valid_examples: PositiveInt = 18_090
    test_examples: PositiveInt = 17_437


def _generate(setting: ByteRetrieval, draw: Draw) -> Arrays:
    if setting.data == STAND_IN:
        return _from_stories(setting, draw)
    return _from_papers(setting, draw)


def _from_papers(setting: ByteRetrieval, draw: Draw) -> Arrays:
    table = published(
        setting.data,
        HUB,
        draw.part,
        COLUMNS,
        FILES[draw.part],
        delimiter="\t",
        column_names=["label", "id1", "id2", "text1", "text2"],
        quoting=3,  # a quotation mark is a character like any other
        keep_default_na=False,  # and "NA" a text
    )
    is_enough(len(table), draw, "pairs of papers")
    rows = table.select(draw.rng.permutation(len(table))[: draw.n_examples])
    pairs = [
        byte_rows([text.encode() for text in rows[column]], setting.length)
        for column in ("text1", "text2")
    ]
    return np.stack(pairs, axis=1), np.array(rows["label"], np.int64)


def _from_stories(setting: ByteRetrieval, draw: Draw) -> Arrays:
    """Half the stories have their own end, the others that of another story among them."""
    stories = list(_told(draw))
    bodies = byte_rows([body for body, _ in stories], setting.length)
    ends = byte_rows([end for _, end in stories], setting.length)
    labels = np.arange(draw.n_examples) % 2
    # A story alone has no other: it keeps its own.
    others = np.flatnonzero(labels == 0)
    labels = labels if len(others) > 1 else np.ones_like(labels)
    ends[others] = ends[np.roll(others, 1)]
    order = draw.rng.permutation(draw.n_examples)
    return np.stack([bodies, ends], axis=1)[order], labels[order]


def _told(draw: Draw) -> Iterator[tuple[bytes, bytes]]:
    """Stories without their ends, and their ends."""
    seed = int(draw.rng.integers(2**31))
    for story in generate_stories("mixed", n_stories=draw.n_examples, seed=seed, stream=draw.part):
        body, end, answers = story.rsplit("\n\n", 2)
        yield body.encode(), f"{end}\n{answers}".encode()


TASK = Task(
    setting=ByteRetrieval,
    generate=_generate,
    labels=lambda setting: ("apart", "together"),
    pairs=True,
    quick={
        "length": 96,
        "train_examples": 9_600,
        "valid_examples": 500,
        "test_examples": 1_000,
    },
    paper={"data": "published"},
    regimes={
        "quick": {"least_steps": 250, "most_steps": 250},
        "paper": {"width": 128, "n_blocks": 4},
    },
)

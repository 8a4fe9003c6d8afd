"""ListOps (Nangia and Bowman, arXiv 1804.06028), at the lengths of Long Range Arena.

A nested expression such as `[MAX 4 [MED 2 9 1 ] 0 ]` is worked out to a digit. Trees are drawn as
published: a node is an operator with probability 1/4, of 2 to 10 arguments, and at most 10 deep;
those are kept whose length lies between the bounds. Here they grow level by level, thousands at a
time; an expression decides by itself to which part of the data it belongs.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from manticore.tasks.drawing import IGNORED, Arrays, Draw, Part
from manticore.tasks.lra.settings import LongRangeSetting
from manticore.tasks.task import Task

OPERATORS = ("MIN", "MAX", "MED", "SM")
DIGITS = 10
CLOSE = DIGITS + len(OPERATORS)
OPERATOR_SHARE = 0.25
_TREES = 2_000
"""Trees that grow at a time."""
_SHARES = 10
"""Of this many expressions, one is kept to choose by and one to test on."""
_MIXER = np.uint64(0x9E3779B97F4A7C15)
"""Odd, and its bits look random."""
_HOPELESS = 400
"""Rounds without an expression of the wanted length after which there is none."""


class ListOps(LongRangeSetting, frozen=True):
    """Setting of ListOps."""

    vocabulary: int = Field(CLOSE + 1, ge=CLOSE + 1, le=CLOSE + 1)
    length: PositiveInt = 2_000
    """Expressions are shorter than this."""
    longer_than: int = Field(500, ge=0)
    """Expressions are longer than this."""
    depth: int = Field(10, ge=2)
    """Most levels of a tree, digits included."""
    arguments: int = Field(10, ge=2)
    """Most arguments of an operator."""
    train_examples: PositiveInt = 96_000
    test_examples: PositiveInt = 2_000

    @model_validator(mode="after")
    def _can_be_generated(self) -> Self:
        """The bounds leave room for an expression: two tokens and two arguments at least."""
        if self.length < 5 or self.length - self.longer_than < 2:
            raise ValueError(
                f"No expression is longer than longer_than={self.longer_than} and shorter than "
                f"length={self.length} tokens: give a length of 5 or more, well above longer_than."
            )
        return self


@dataclass
class Level:
    """The nodes of one depth, of all trees together; siblings stand next to each other.

    Attributes:
        tree: Index of each node's tree, (M,).
        parent: Index of its parent in the level above, (M,).
        symbol: Its token: a digit, or an operator from 10 on, (M,).
    """

    tree: np.ndarray
    parent: np.ndarray
    symbol: np.ndarray

    @property
    def branches(self) -> np.ndarray:
        """Which nodes are operators, (M,)."""
        return self.symbol >= DIGITS


def _generate(setting: ListOps, draw: Draw) -> Arrays:
    inputs = np.full((draw.n_examples, setting.length - 1), IGNORED, np.int16)
    targets = np.empty(draw.n_examples, np.int64)
    done = idle = 0
    while done < draw.n_examples:
        levels = _grow(setting, draw.rng)
        lengths = _lengths(levels)
        good = (lengths[0] > setting.longer_than) & (lengths[0] < setting.length)
        good &= _falls_to(draw.part, levels)
        idle = 0 if good.any() else idle + 1
        if idle == _HOPELESS:
            raise ValueError(
                f"No expression of depth {setting.depth} with up to {setting.arguments} arguments "
                f"is between {setting.longer_than} and {setting.length} tokens long, or hardly "
                "any: set longer_than lower, or depth higher."
            )
        # Trees beyond those that are still wanted are left out.
        good &= np.cumsum(good) <= draw.n_examples - done
        rows = np.where(good, done + np.cumsum(good) - 1, -1)
        _write(levels, lengths, rows, inputs)
        targets[rows[good]] = _values(levels)[good]
        done += int(good.sum())
    return inputs, targets


def _grow(setting: ListOps, rng: np.random.Generator) -> list[Level]:
    """Trees whose root is an operator: a digit alone is never long enough."""
    roots = np.arange(_TREES)
    levels = [Level(roots, roots, DIGITS + rng.integers(len(OPERATORS), size=_TREES))]
    for depth in range(2, setting.depth + 1):
        above = levels[-1]
        branches = np.flatnonzero(above.branches)
        counts = rng.integers(2, setting.arguments + 1, size=len(branches))
        parent = np.repeat(branches, counts)
        symbol = rng.integers(DIGITS, size=len(parent))
        if depth < setting.depth:
            branching = rng.random(len(parent)) <= OPERATOR_SHARE
            operators = rng.integers(len(OPERATORS), size=int(branching.sum()))
            symbol[branching] = DIGITS + operators
        levels.append(Level(above.tree[parent], parent, symbol))
    return levels


def _falls_to(part: Part, levels: list[Level]) -> np.ndarray:
    """Which trees belong to a part of the data, (n,), so that none is in two.

    What their nodes add up to decides, each weighted by its depth, place and symbol.
    """
    total = np.zeros(len(levels[0].tree), np.uint64)
    for depth, level in enumerate(levels):
        count = np.bincount(level.tree, minlength=len(total))
        place = np.arange(len(level.tree)) - (np.cumsum(count) - count)[level.tree]
        mixed = (place * 31 + level.symbol + 1).astype(np.uint64) * _MIXER
        mixed = (mixed ^ (mixed >> np.uint64(29))) * (_MIXER + np.uint64(2 * depth))
        np.add.at(total, level.tree, mixed)
    share = (total >> np.uint64(33)) % np.uint64(_SHARES)
    return {"valid": share == 0, "test": share == 1, "train": share > 1}[part]


def _lengths(levels: list[Level]) -> list[np.ndarray]:
    """Tokens of every node with all below it, by level."""
    lengths = [np.where(level.branches, 2, 1) for level in levels]
    for depth in range(len(levels) - 1, 0, -1):
        below = np.bincount(levels[depth].parent, lengths[depth], len(lengths[depth - 1]))
        lengths[depth - 1] += below.astype(np.int64)
    return lengths


def _write(
    levels: list[Level], lengths: list[np.ndarray], rows: np.ndarray, inputs: np.ndarray
) -> None:
    """Write the tokens of trees into their rows of `inputs`, (N, T); row -1 is left out."""
    start = np.zeros(len(levels[0].tree), np.int64)
    for depth, level in enumerate(levels):
        if depth:
            before = np.cumsum(lengths[depth]) - lengths[depth]
            first = np.r_[True, level.parent[1:] != level.parent[:-1]]
            siblings = before - np.repeat(
                before[first], np.diff(np.r_[np.flatnonzero(first), len(first)])
            )
            start = start[level.parent] + 1 + siblings
        row = rows[level.tree]
        kept, closed = row >= 0, (row >= 0) & level.branches
        inputs[row[kept], start[kept]] = level.symbol[kept]
        inputs[row[closed], (start + lengths[depth] - 1)[closed]] = CLOSE


def _values(levels: list[Level]) -> np.ndarray:
    """What each tree works out to, (n,)."""
    values = [level.symbol % DIGITS for level in levels]
    for depth in range(len(levels) - 1, 0, -1):
        level, above = levels[depth], levels[depth - 1]
        if not len(level.parent):
            continue
        operators, first, counts = np.unique(level.parent, return_index=True, return_counts=True)
        own = values[depth]
        ordered = own[np.lexsort((own, level.parent))]
        middle = (ordered[first + (counts - 1) // 2] + ordered[first + counts // 2]) // 2
        by_operator = np.stack(
            [ordered[first], ordered[first + counts - 1], middle, np.add.reduceat(own, first) % 10]
        )
        kind = above.symbol[operators] - DIGITS
        values[depth - 1][operators] = by_operator[kind, np.arange(len(operators))]
    return values[0]


def expression(tokens: np.ndarray) -> str:
    """Tokens (T,) as people write them."""
    names = [*map(str, range(DIGITS)), *(f"[{name}" for name in OPERATORS), "]"]
    return " ".join(names[token] for token in tokens if token != IGNORED)


TASK = Task(
    setting=ListOps,
    generate=_generate,
    labels=lambda setting: [str(digit) for digit in range(DIGITS)],
    pooling="last",
    quick={
        "length": 32,
        "longer_than": 4,
        "depth": 3,
        "arguments": 4,
        "train_examples": 12_800,
        "valid_examples": 500,
        "test_examples": 1_000,
    },
    paper={},
    regimes={
        "quick": {"least_steps": 400, "most_steps": 400},
        "paper": {"width": 512, "n_blocks": 6},
    },
)

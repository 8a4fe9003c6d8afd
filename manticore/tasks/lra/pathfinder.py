"""Pathfinder (arXiv 1805.08315): are the two dots in an image ends of the same dashed path?

Two long paths wind through an image among short ones. A dot lies on the first end of a long path,
and another on the last end of the same one, or of the other. Sizes, distances and the distribution
of bends are those that Long Range Arena (arXiv 2011.04006) gave the published generator; the
drawing is our own. Path-X is the same at 128 by 128 pixels.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import isqrt
from typing import Any, Self

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from manticore.tasks.drawing import Arrays, Draw
from manticore.tasks.lra.settings import BYTES, LongRangeSetting
from manticore.tasks.task import Task

MATCHED = 0.6
"""Pixels by which distances between dots may differ where they are matched."""
_HOPELESS = 20_000
"""Images in a row that do not fit after which none will."""


@dataclass(frozen=True)
class Pen:
    """Sizes in pixels, and how paths bend.

    Attributes:
        dash: Length of a dash.
        margin: Half the gap between dashes.
        thickness: Thickness of a dash.
        contrast: Gray value of a dash that fills a pixel, as a share of white, before it is cut
            off at white.
        radius: Radius of a dot.
        apart: Distance between the first ends of the two long paths.
        continuity: How straight paths are; 1 allows bends of up to a right angle.
        short_dashes: Dashes of all short paths together.
    """

    dash: float
    margin: float
    thickness: float
    contrast: float
    radius: float
    apart: float
    continuity: float
    short_dashes: int


PENS = {
    32: Pen(2.0, 1.0, 0.5, 1.5, 1.5, 7.0, 1.0, 20),
    128: Pen(5.0, 2.5, 1.5, 0.9, 3.0, 20.0, 1.8, 35),
}
"""Published sizes by the side of the image. Other sides take the nearest, with another `apart`."""


class Pathfinder(LongRangeSetting, frozen=True):
    """Setting of Pathfinder."""

    vocabulary: int = Field(BYTES, ge=BYTES, le=BYTES)
    length: PositiveInt = 1_024
    """Pixels of an image, a square."""
    dashes: int = Field(14, ge=2)
    """Dashes of a long path; a short one has a third of them."""
    short_paths: NonNegativeInt | None = None
    """Number of short paths; as published if not given."""
    matched: bool = False
    """Whether only images are drawn in which a path's ends are as far apart as ends of the two
    paths, within a part of a pixel: in small images the distance between the dots tells much."""
    train_examples: PositiveInt = 160_000
    valid_examples: PositiveInt = 20_000
    test_examples: PositiveInt = 20_000

    @model_validator(mode="after")
    def _is_a_square(self) -> Self:
        """Images have as many rows as columns."""
        if self.side**2 != self.length or self.side < 12:
            raise ValueError(
                f"length={self.length} is not an image of as many rows as columns, 12 or more: "
                "give 256, 1024 or 16384."
            )
        return self

    @property
    def side(self) -> int:
        """Rows of an image, and columns."""
        return isqrt(self.length)

    @property
    def pen(self) -> Pen:
        """Sizes of what is drawn."""
        published = min(PENS, key=lambda side: abs(side - self.side))
        pen = PENS[published]
        return replace(pen, apart=pen.apart * self.side / published)


class PathX(Pathfinder, frozen=True):
    """Setting of Path-X."""

    length: PositiveInt = 16_384
    """Pixels of an image, a square."""


@dataclass(frozen=True)
class Drawing:
    """An image before it is painted.

    Attributes:
        dashes: (S, 4) dashes, each (y, x, y, x): those of one long path, of the other, of short
            ones; NaN where one is left out.
        dots: (2, 2) the two dots, (y, x).
        joined: Whether they are on the same path.
    """

    dashes: np.ndarray
    dots: np.ndarray
    joined: bool


def _generate(setting: Pathfinder, draw: Draw) -> Arrays:
    inputs = np.empty((draw.n_examples, setting.length), np.int16)
    targets = np.empty(draw.n_examples, np.int64)
    for row in range(draw.n_examples):
        drawing = draw_paths(setting, draw.rng)
        inputs[row] = gray_values(drawing, setting).ravel()
        targets[row] = drawing.joined
    return inputs, targets


def draw_paths(setting: Pathfinder, rng: np.random.Generator) -> Drawing:
    """Draw the paths of an image.

    Args:
        setting: Setting of the task.
        rng: Random numbers.

    Raises:
        ValueError: Two paths with this number of dashes hardly ever fit.
    """
    pen, dashes = setting.pen, setting.dashes
    short = max(1, dashes // 3)
    n_short = setting.short_paths
    if n_short is None:
        n_short = pen.short_dashes // short
    drawn = np.empty((2 * dashes + n_short * short, 4))
    sizes = (setting.side, pen.dash, pen.margin, pen.apart, pen.continuity, dashes, n_short, short)
    for _ in range(_HOPELESS):
        if not _compiled().draw_paths(rng, *sizes, drawn):
            continue
        first, joined = rng.integers(2, size=2)
        dots = _dots(drawn, dashes, first)
        own, other = np.linalg.norm(dots[:, 0] - dots[:, 1], axis=1)
        if not setting.matched or abs(own - other) < MATCHED:
            break
    else:
        raise ValueError(
            f"Two paths of {dashes} dashes do not fit into {setting.side} by {setting.side} "
            "pixels, or hardly ever: set fewer dashes, or a greater length."
        )
    return Drawing(drawn, dots[0 if joined else 1], bool(joined))


def _dots(drawn: np.ndarray, dashes: int, first: int) -> np.ndarray:
    """The start of a long path with its own end, and with that of the other one, (2, 2, 2)."""
    start = drawn[first * dashes, :2]
    ends = [drawn[(path + 1) * dashes - 1, 2:] for path in (first, 1 - first)]
    return np.stack([[start, end] for end in ends])


def gray_values(drawing: Drawing, setting: Pathfinder) -> np.ndarray:
    """The image, (side, side), from 0 to 255.

    Args:
        drawing: What it shows.
        setting: Setting of the task.
    """
    pen, ink = setting.pen, _compiled().ink
    dashes = pen.contrast * ink(drawing.dashes, pen.thickness / 2, setting.side)
    dots = ink(np.tile(drawing.dots, 2), pen.radius, setting.side)
    return np.round(np.maximum(dashes, dots).clip(0, 1) * (BYTES - 1))


@lru_cache(maxsize=1)
def _compiled() -> Any:
    """What Numba compiles, which takes seconds: not for those who only read settings."""
    from manticore.tasks.lra import dashed_paths

    return dashed_paths


TASK = Task(
    setting=Pathfinder,
    generate=_generate,
    labels=lambda setting: ("apart", "joined"),
    quick={
        "length": 144,
        "dashes": 3,
        "short_paths": 1,
        "matched": True,
        "train_examples": 9_600,
        "valid_examples": 500,
        "test_examples": 1_000,
    },
    paper={},
    regimes={
        "quick": {"least_steps": 150, "most_steps": 150},
        "paper": {"width": 128, "n_blocks": 4, "batch_size": 128, "least_steps": 62_400},
    },
)

PATH_X = Task(
    setting=PathX,
    generate=_generate,
    labels=TASK.labels,
    quick=None,
    regimes={"path-x": {**TASK.regimes["paper"], "batch_size": 16}},
)

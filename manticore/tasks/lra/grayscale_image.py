"""Images classified from their gray values, row by row: CIFAR-10, as published.

The stand-in has the handwritten digits that scikit-learn brings along, 8 by 8 pixels, each pixel
repeated to fill larger images.
"""

import functools
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from manticore.extras import require
from manticore.tasks.drawing import Arrays, Draw
from manticore.tasks.lra.published import published
from manticore.tasks.lra.settings import BYTES, STAND_IN, BorrowedSetting, is_enough
from manticore.tasks.task import Task

HUB = "uoft-cs/cifar10"
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PHOTO_SIDE, DIGIT_SIDE = 32, 8
_GRAYS = 16
_HELD_OUT = 300
"""Digits to choose by, and as many to test on."""


class GrayscaleImage(BorrowedSetting, frozen=True):
    """Setting of image classification."""

    vocabulary: int = Field(BYTES, ge=BYTES, le=BYTES)
    length: PositiveInt = 1_024
    """Pixels of an image, a square."""
    train_examples: PositiveInt = 45_000
    valid_examples: PositiveInt = 5_000
    test_examples: PositiveInt = 10_000
    in_stand_in: ClassVar[Mapping[str, int]] = {
        "train_examples": 1_197,
        "valid_examples": _HELD_OUT,
        "test_examples": _HELD_OUT,
    }

    @model_validator(mode="after")
    def _is_a_square(self) -> Self:
        """Images have as many rows as columns, and are drawn smaller or larger by whole pixels."""
        side = isqrt(self.length)
        fits = side % DIGIT_SIDE == 0 if self.data == STAND_IN else PHOTO_SIDE % side == 0
        if side * side != self.length or not fits:
            raise ValueError(
                f"length={self.length} is not a size of these images: give 64, 256 or 1024."
            )
        return self


def _generate(setting: GrayscaleImage, draw: Draw) -> Arrays:
    if setting.data == STAND_IN:
        return _from_digits(setting, draw)
    return _from_photos(setting, draw)


def _labels(setting: GrayscaleImage) -> Sequence[str]:
    return [str(digit) for digit in range(10)] if setting.data == STAND_IN else OBJECTS


def _from_photos(setting: GrayscaleImage, draw: Draw) -> Arrays:
    require("Reading images", "PIL")
    columns = {"img": "the image", "label": "0 to 9"}
    table = published(setting.data, HUB, "test" if draw.part == "test" else "train", columns)
    order = np.arange(len(table))
    if draw.part != "test":
        held_out = max(1, len(order) // 10)
        order = order[-held_out:] if draw.part == "valid" else order[:-held_out]
    is_enough(len(order), draw, "images")
    rows = table.select(draw.rng.permutation(order)[: draw.n_examples])
    pixels = np.stack([np.asarray(image.convert("L"), np.float32) for image in rows["img"]])
    side = isqrt(setting.length)
    smaller = pixels.reshape(len(pixels), side, PHOTO_SIDE // side, side, PHOTO_SIDE // side)
    grays = smaller.mean(axis=(2, 4)).round().astype(np.int16)
    return grays.reshape(len(grays), -1), np.array(rows["label"], np.int64)


def _from_digits(setting: GrayscaleImage, draw: Draw) -> Arrays:
    images, labels = _digits()
    first = {"train": 2 * _HELD_OUT, "valid": _HELD_OUT, "test": 0}[draw.part]
    last = len(images) if draw.part == "train" else first + _HELD_OUT
    is_enough(last - first, draw, "digits")
    chosen = first + draw.rng.permutation(last - first)[: draw.n_examples]
    larger = isqrt(setting.length) // DIGIT_SIDE
    pixels = images[chosen].repeat(larger, axis=1).repeat(larger, axis=2)
    return pixels.reshape(len(pixels), -1), labels[chosen]


@functools.lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Gray values from 0 to 240, (n, 8, 8), and labels, (n,), in an order that mixes writers."""
    require("The stand-in for images", "sklearn")
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels).reshape(-1, DIGIT_SIDE, DIGIT_SIDE)
    order = np.random.default_rng(0).permutation(len(images))
    grays = (images * ((BYTES - 1) // _GRAYS)).astype(np.int16)
    return grays[order], np.asarray(labels)[order].astype(np.int64)


TASK = Task(
    setting=GrayscaleImage,
    generate=_generate,
    labels=_labels,
    quick={
        "length": 64,
        "train_examples": 1_197,
        "valid_examples": 300,
        "test_examples": 300,
    },
    paper={"data": "published"},
    regimes={"paper": {"width": 64, "n_blocks": 3, "batch_size": 256, "least_steps": 35_000}},
)

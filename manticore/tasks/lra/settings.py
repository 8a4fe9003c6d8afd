"""What the settings of long-range tasks have in common."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import PositiveInt

from manticore.config.setting import Setting
from manticore.tasks.drawing import Draw

BYTES = 256
STAND_IN = "stand-in"
PUBLISHED = "published"


class LongRangeSetting(Setting, frozen=True):
    """How large a long-range task is."""

    valid_examples: PositiveInt = 2_000
    """Number of examples to choose learning rates by."""


class BorrowedSetting(LongRangeSetting, frozen=True):
    """Setting of a task whose published data are not generated."""

    data: str = STAND_IN
    """Where examples come from: `stand-in` (ships with packages, or is generated), `published` (the
    data set on the hub), or a folder with the published data."""
    in_stand_in: ClassVar[Mapping[str, int]] = {}
    """Most examples of each part that the stand-in has, by the options' names."""


_FOR = {"train": "train on", "valid": "choose by", "test": "test on"}


def is_enough(found: int, draw: Draw, what: str) -> None:
    """Check that there are examples enough.

    Args:
        found: Number of examples that there are.
        draw: The data set to generate.
        what: What they are, for the message.

    Raises:
        ValueError: There are too few.
    """
    if found < draw.n_examples:
        raise ValueError(
            f"There are {found} {what} to {_FOR[draw.part]}, fewer than the {draw.n_examples} "
            f"wanted: set fewer {draw.part}_examples, or most_examples (--examples) for a suite."
        )

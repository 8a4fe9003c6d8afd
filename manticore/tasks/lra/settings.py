"""What the settings of long-range tasks have in common."""

from pydantic import PositiveInt

from manticore.config.setting import Setting

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


def is_enough(found: int, wanted: int, what: str) -> None:
    """Check that there are examples enough.

    Args:
        found: Number of examples that there are.
        wanted: Number asked for.
        what: What they are, for the message.

    Raises:
        ValueError: There are too few.
    """
    if found < wanted:
        raise ValueError(
            f"There are {found} {what}, fewer than the {wanted} asked for: set fewer "
            "train_examples, valid_examples or test_examples."
        )

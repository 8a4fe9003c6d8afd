"""How text is sampled where people chat with a hybrid, and what is told of an answer."""

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manticore.hybrid.streaming import Continuation

PRESETS = {"Careful": (0.4, 0.9), "Balanced": (0.8, 0.95), "Wild": (1.2, 1.0)}
"""Temperature and top-p by name."""
USUAL = "Balanced"
LENGTH = 96
"""Tokens of the longest answer, if nobody says otherwise."""
LARGEST_SEED = 2**31 - 1


def seed_of(given: float | None) -> int:
    """A random seed; 0 or None draws one.

    Args:
        given: What somebody entered.
    """
    return int(given or 0) or random.randint(1, LARGEST_SEED)


def ended(written: "Continuation", seed: int, was_stopped: bool) -> str:
    """What is told once an answer has ended.

    Args:
        written: The answer.
        seed: Its random seed.
        was_stopped: Whether somebody stopped it.
    """
    n = len(written.ids)
    return " · ".join(
        [
            "Stopped" if was_stopped else "Done",
            f"{n} token{'' if n == 1 else 's'}",
            f"seed {seed} (set it under More to get the same text again)",
        ]
    )


def shortened(written: "Continuation") -> str:
    """What is told where the hybrid could not read all of a text; "" where it could.

    Args:
        written: The answer.
    """
    if not written.left_out:
        return ""
    return (
        f"The text is longer than the hybrid can read: the first {written.left_out} tokens were "
        "left out. Press New text to start again, or ask for fewer new tokens under More."
    )

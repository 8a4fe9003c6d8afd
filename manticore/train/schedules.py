"""Learning rates over the steps: warm-up, then a named shape."""

import math
from collections.abc import Callable

LOWEST = 0.1
"""Share of the peak at which `cosine` and `linear` end."""

_SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - (1.0 - LOWEST) * done,
    "cosine": lambda done: LOWEST + (1.0 - LOWEST) * 0.5 * (1.0 + math.cos(math.pi * done)),
}


def learning_rate_factor(name: str, warmup: int, steps: int) -> Callable[[int], float]:
    """A function from the step to its share of the peak learning rate.

    Args:
        name: `constant`, `linear` or `cosine`.
        warmup: Number of steps of linear warm-up.
        steps: Number of steps in all.
    """
    shape = _SHAPES[name]

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        return shape(min(1.0, (step - warmup) / max(1, steps - warmup)))

    return factor

"""How fast a training goes, and how long it will still take."""

import math
import time

_MEMORY = 0.9


class Clock:
    """Tokens per second of the steps, and what else takes time between them.

    Args:
        every: By name, what comes between steps, and every how many of them.
    """

    def __init__(self, **every: int) -> None:
        self.every = every
        self.spent: dict[str, list[float]] = {name: [] for name in every}
        self.rate = 0.0
        self.steps = 0
        self.last = time.perf_counter()

    def step_done(self, n_tokens: int) -> float:
        """Tokens per second, smoothed, after a step of so many tokens."""
        rate = n_tokens / max(self._lap(), 1e-9)
        self.steps += 1
        # A plain mean at first, so that a slow first step is soon forgotten.
        kept = min(_MEMORY, 1 - 1 / self.steps)
        self.rate = kept * self.rate + (1 - kept) * rate
        return self.rate

    def spent_on(self, name: str) -> None:
        """The time since the last step was none of a step."""
        self.spent[name].append(self._lap())

    def left(self, steps: float, n_tokens: int) -> float:
        """Seconds that so many steps of so many tokens will take, with all that comes between."""
        between = sum(
            math.ceil(steps / self.every[name]) * sum(spent) / len(spent)
            for name, spent in self.spent.items()
            if spent
        )
        return steps * n_tokens / self.rate + between

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self.last = now - self.last, now
        return lap

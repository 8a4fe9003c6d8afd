"""The speed of a training, and the time that it will still take."""

import math
import time

_MEMORY = 0.9


class Clock:
    """Measures tokens per second of the steps, and what else takes time between them.

    Args:
        every: Number of steps from one to the next of what comes between steps, by name.
    """

    def __init__(self, **every: int) -> None:
        self.every = every
        self.spent: dict[str, list[float]] = {name: [] for name in every}
        self.rate = 0.0
        self.steps = 0
        self.last = time.perf_counter()

    def step_done(self, n_tokens: int) -> float:
        """Tokens per second, smoothed, after a step.

        Args:
            n_tokens: Number of tokens of the step.
        """
        rate = n_tokens / max(self._lap(), 1e-9)
        self.steps += 1
        # At first a plain mean, so that a slow first step is soon forgotten.
        kept = min(_MEMORY, 1 - 1 / self.steps)
        self.rate = kept * self.rate + (1 - kept) * rate
        return self.rate

    def spent_on(self, name: str) -> None:
        """Count the time since the last call as spent between steps.

        Args:
            name: What it was spent on.
        """
        self.spent[name].append(self._lap())

    def left(self, steps: float, n_tokens: int) -> float:
        """Seconds that more steps will take, with all that comes between them.

        Args:
            steps: Number of steps to come.
            n_tokens: Number of tokens of a step.
        """
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

"""DASH (arXiv 2204.07554): Gumbel-softmax whose temperature falls over the search."""

from typing_extensions import override

from manticore.search.parameterizations import GumbelMixture
from manticore.search.strategy import Batch, Strategy


class Dash(Strategy[GumbelMixture]):
    """The strategy `dash`: each step draws mixture weights around the logits, ever less freely."""

    parameterization = GumbelMixture

    @override
    def before_step(self, step: int, batches: list[Batch]) -> None:
        self.mixture.draw(self.seed, step, self.temperature(step))

    def temperature(self, step: int) -> float:
        """Temperature of a step: from the first to the last along a geometric series.

        Args:
            step: Number of the step, counted from 0.
        """
        first, last = self.options.temperature
        done = step / max(1, self.options.steps - 1)
        return first * (last / first) ** done

"""DASH (arXiv 2204.07554): Gumbel-softmax whose temperature falls over the search."""

from manticore.search.parameterisations import GumbelMixture
from manticore.search.strategy import Batch, Strategy


class Dash(Strategy):
    """The strategy `dash`: each step draws mixture weights around the logits, ever less freely."""

    parameterisation = GumbelMixture

    def before_step(self, step: int, batches: list[Batch]) -> None:
        self.mixture.draw(self.seed, step, self.temperature(step))

    def temperature(self, step: int) -> float:
        """Of step number `step`: from the first to the last along a geometric series."""
        first, last = self.options.temperature
        done = step / max(1, self.options.steps - 1)
        return first * (last / first) ** done

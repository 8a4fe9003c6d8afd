"""The interface of a search strategy, and the table of strategies."""

from typing import TYPE_CHECKING, Protocol

from torch import nn

from manticore.search.darts import Darts

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


class Strategy(Protocol):
    """How mixture weights are parameterised while they are searched.

    A strategy installs its own parameterisation into the hybrid, whose parameters the training loop
    then updates with the mixture learning rate, and at the end fixes what was found.
    """

    def begin(self, hybrid: "ManticoreForCausalLM") -> list[nn.Parameter]:
        """Install the parameterisation, starting from the hybrid's mixture weights."""

    def finish(self, hybrid: "ManticoreForCausalLM") -> None:
        """Fix the mixture weights that were found."""


STRATEGIES: dict[str, type[Strategy]] = {"darts": Darts}

"""No search: the mixture weights stay, everything else trains."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from manticore.search.strategy import Strategy

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


class Fixed(Strategy):
    """The strategy `fixed`."""

    def begin(self, hybrid: "ManticoreForCausalLM") -> None:
        self.hybrid = hybrid

    def shared_parameters(self) -> list[nn.Parameter]:
        return []

    def penalty(self) -> torch.Tensor | None:
        return None

    def after_step(self, step: int) -> None:
        """Given mixture weights are not pruned."""

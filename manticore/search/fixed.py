"""No search: the mixture weights stay, everything else trains."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from manticore.search.strategy import Strategy

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


class Fixed(Strategy):
    """The strategy `fixed`."""

    moves_mixture = False

    def begin(self, hybrid: "ManticoreForCausalLM") -> None:
        self.hybrid = hybrid

    def shared_parameters(self) -> list[nn.Parameter]:
        return []

    def penalty(self) -> torch.Tensor | None:
        return None

    def after_backward(self, step: int) -> None:
        learning = (p for group in self.loop.groups for p in group["params"])
        if all(parameter.grad is None for parameter in learning):
            raise ValueError(
                "Nothing that may learn takes part: where a block is left to one component, its "
                "projectors are not used. Give component_lr above 0, or mixture weights between."
            )

    def after_step(self, step: int) -> None:
        """Given mixture weights are not pruned."""

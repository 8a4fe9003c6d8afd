"""No search: the mixture weights stay, everything else trains."""

from typing import TYPE_CHECKING

import torch
from torch import nn
from typing_extensions import override

from manticore.search.parameterizations import GivenMixture
from manticore.search.strategy import Strategy

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


class Fixed(Strategy[GivenMixture]):
    """The strategy `fixed`: the hybrid keeps its own mixture."""

    moves_mixture = False

    @override
    def begin(self, hybrid: "ManticoreForCausalLM") -> None:
        self.hybrid = hybrid

    @override
    def shared_parameters(self) -> list[nn.Parameter]:
        return []

    @override
    def penalty(self) -> torch.Tensor | None:
        return None

    @override
    def after_backward(self, step: int) -> None:
        learning = (p for group in self.loop.groups for p in group["params"])
        if all(parameter.grad is None for parameter in learning):
            raise ValueError(
                "Nothing that may learn takes part: where a block is left to one component, its "
                "projectors are not used. Set component_lr above 0, or choose mixture weights "
                "between the corners."
            )

    @override
    def after_step(self, step: int) -> None:
        """Prune nothing: the mixture weights were given."""

"""No search: the mixture weights stay, everything else trains."""

from typing import TYPE_CHECKING, Any

import torch
from typing_extensions import override

from manticore.hybrid.routing import RoutedMixture
from manticore.search.parameterizations import GivenMixture
from manticore.search.strategy import Strategy, learning_group

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


class Fixed(Strategy[GivenMixture]):
    """The strategy `fixed`: the hybrid keeps its own mixture; a router may learn if asked to."""

    moves_mixture = False

    @override
    def begin(self, hybrid: "ManticoreForCausalLM") -> None:
        self.hybrid = hybrid

    @override
    def shared_groups(self) -> list[dict[str, Any]]:
        lr = getattr(self.options, "router_lr", 0.0)
        if not lr:
            return []
        if not isinstance(self.hybrid.mixture, RoutedMixture):
            raise ValueError(
                f"router_lr is {lr:g}, and the hybrid has no router: leave it out, or search with "
                "the strategy 'routed' first."
            )
        router = self.hybrid.mixture.router_parameters()
        return [learning_group("router", router, lr, self.options.component_schedule)]

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
    def fix(self) -> None:
        self.hybrid.mixture.requires_grad_(False)

    @override
    def after_step(self, step: int) -> None:
        """Prune nothing: the mixture weights were given."""

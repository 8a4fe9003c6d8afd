"""Routed search: every token gets mixture weights of its own, from a router that reads the text.

The router is fitted first (`search.router_fit`), to what each component predicts well alone, and
then learns with the hybrid. Weights of components and projectors need not change at all.
"""

from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast
from typing_extensions import override

from manticore.hybrid.routing import RoutedMixture, RouterSettings
from manticore.search.router_fit import fit_router, total_variation
from manticore.search.strategy import Strategy, entropy, learning_group

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


class Routed(Strategy[RoutedMixture]):
    """The strategy `routed`: a fitted router, then gradient descent of router and logits."""

    @override
    def begin(self, hybrid: "ManticoreForCausalLM") -> None:
        self.hybrid = hybrid
        router = self.options.router
        settings = RouterSettings(router.width, self.options.tied, router.threshold)
        mixture = hybrid.mixture
        self.is_new = not isinstance(mixture, RoutedMixture)
        if not isinstance(mixture, RoutedMixture):
            mixture = hybrid.add_router(settings)
        elif mixture.settings != settings:
            raise ValueError(
                f"The hybrid already has a router with {mixture.settings}: search with the same "
                "width, threshold and tied, or fix its mixture weights first with "
                "hybrid.set_mixture_weights(hybrid.mixture_weights)."
            )
        self.mixture = mixture

    @override
    def shared_groups(self) -> list[dict[str, Any]]:
        self.mixture.requires_grad_(False)
        schedule = self.options.mixture_schedule
        groups = [learning_group("mixture", [self.mixture.row], self.options.mixture_lr, schedule)]
        if lr := self.options.router.lr:
            router = self.mixture.router_parameters()
            groups.append(learning_group("router", router, lr, schedule))
        return groups

    @override
    def before_training(self) -> dict[str, Any]:
        options = self.options.router
        if not self.is_new or not options.fit_steps:
            return {}
        ids = self.loop.training_sequences(options.fit_sequences)
        found = fit_router(self.hybrid, ids, options, self.seed)
        if self.loop.accelerator.num_processes > 1:
            for tensor in self.mixture.state_dict().values():
                tensor.copy_(broadcast(tensor.clone()))
        return found

    @override
    def penalty(self) -> torch.Tensor | None:
        """Entropy and change of the mixture weights of the last pass, times their weights."""
        alpha, self.mixture.last = self.mixture.last, None
        terms = []
        if alpha is not None and self.options.entropy:
            terms.append(self.options.entropy * entropy(alpha))
        if alpha is not None and self.options.router.smoothness:
            terms.append(self.options.router.smoothness * total_variation(alpha))
        return torch.stack(terms).sum() if terms else None

    @override
    def after_step(self, step: int) -> None:
        """Prune nothing: a component that one token does not need, another may."""

    @override
    def fix(self) -> None:
        self.mixture.requires_grad_(False)
        self.mixture.last = None

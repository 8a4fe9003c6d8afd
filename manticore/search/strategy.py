"""What a search strategy is: how mixture weights are parameterised, and what moves them."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from manticore.config.search import SearchConfig
from manticore.search.parameterisations import SearchedMixture, SoftmaxMixture

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM
    from manticore.search.held_out import HeldOut
    from manticore.train.loop import Loop


class Strategy:
    """One level of gradient descent on a softmax, and the hooks that other strategies override.

    A strategy installs its parameterisation into the hybrid (`begin`), takes part in every step of
    the training loop, and at the end fixes what was found (`finish`). Everything it remembers
    between steps is in the parameterisation, in an optimizer that the accelerator has prepared, or
    a function of seed and step, so that a resumed search goes on as if nothing had happened.

    Args:
        options: Of the search.
        seed: Of the run.
    """

    needs_held_out = False
    """Whether a part of the training text is kept from the other weights."""
    always_tied = False
    parameterisation: type[SearchedMixture] = SoftmaxMixture

    def __init__(self, options: SearchConfig, seed: int = 0) -> None:
        self.options = options
        self.seed = seed

    def begin(self, hybrid: "ManticoreForCausalLM") -> None:
        """Install the parameterisation, starting from the hybrid's mixture weights."""
        self.hybrid = hybrid
        device = hybrid.mixture_weights.device
        tied = self.always_tied or self.options.tied
        mixture = self.parameterisation(hybrid.mixture_weights.cpu(), tied)
        hybrid.mixture = self.mixture = mixture.to(device)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Parameters of the mixture that the loop's own optimizer updates."""
        return [parameter for parameter in self.mixture.parameters() if parameter.requires_grad]

    def attach(self, loop: "Loop", held_out: "HeldOut | None") -> None:
        """Make optimizers of one's own, through the loop's accelerator."""
        self.loop = loop
        self.held_out = held_out

    def before_step(self, step: int, batches: list[dict[str, torch.Tensor]]) -> None:
        """Called before the step number `step`, counted from 0, with the batches it will use."""

    def penalty(self) -> torch.Tensor | None:
        """What the loss gets on top: the entropy of the rows, in nats, times its weight."""
        if not self.options.entropy:
            return None
        rows = self.mixture.expected()
        return self.options.entropy * -(rows * rows.clamp_min(1e-12).log()).sum(dim=-1).mean()

    def after_backward(self, step: int) -> None:
        """Called when gradients are there, before the loop's optimizer moves."""

    def after_step(self, step: int) -> None:
        """Called after step number `step`: prune what has stayed under the threshold."""
        if self.options.prune_below and step >= self.options.prune_after:
            self.mixture.prune(self.options.prune_below, self.options.prune_steps)

    def finish(self) -> dict[str, Any]:
        """Settle on the mixture weights that were found, after the last step.

        Returns:
            More that was found out, for the result; most strategies have nothing more.
        """
        self.fix()
        return {}

    def fix(self) -> None:
        """Turn the parameterisation into given mixture weights, as it stands."""
        alpha = self.hybrid.mixture_weights.double()
        self.hybrid.set_mixture_weights(alpha / alpha.sum(dim=1, keepdim=True))

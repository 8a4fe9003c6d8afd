"""One-level DARTS (arXiv 1806.09055; paper section 3.3): the mixture weights are the softmax of
free logits, and all weights and logits descend the same loss together."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from manticore.hybrid.mixture import Mixture

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

# Softmax cannot reach the corners of the simplex; starting there is moved this far inside.
_INSIDE = 1e-3


class SoftmaxMixture(Mixture):
    """alpha = softmax(logits), row by row.

    Args:
        alpha: (N, K) mixture weights to start from.
    """

    def __init__(self, alpha: torch.Tensor) -> None:
        super().__init__()
        inside = (1 - _INSIDE) * alpha.float() + _INSIDE / alpha.shape[1]
        self.logits = nn.Parameter(inside.log())

    def forward(self) -> torch.Tensor:
        return self.logits.float().softmax(dim=-1)


class Darts:
    """The strategy `darts`."""

    def begin(self, hybrid: "ManticoreForCausalLM") -> list[nn.Parameter]:
        """Replace the fixed mixture weights by a softmax of logits."""
        hybrid.mixture = SoftmaxMixture(hybrid.mixture_weights)
        return list(hybrid.mixture.parameters())

    def finish(self, hybrid: "ManticoreForCausalLM") -> None:
        """Fix alpha where the logits have taken it."""
        alpha = hybrid.mixture_weights
        hybrid.set_mixture_weights(alpha / alpha.sum(dim=1, keepdim=True))

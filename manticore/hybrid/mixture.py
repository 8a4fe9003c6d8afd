"""Mixture weights: alpha[b, k] >= 0 with rows that sum to one (paper section 3)."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

SIMPLEX_TOLERANCE = 1e-6
"""How far a row may sum from one: what float32 makes of a row that sums to one exactly."""


def check_mixture_weights(
    alpha: torch.Tensor | Sequence, n_blocks: int, n_components: int
) -> torch.Tensor:
    """Alpha as an (N, K) float32 tensor, exactly as given or spread over the blocks.

    Args:
        alpha: (N, K), or (K,) for every block.
        n_blocks: N, the number of blocks.
        n_components: K, the number of components.

    Raises:
        ValueError: Wrong shape, not finite, negative, or a row that does not sum to one.
    """
    try:
        given = torch.as_tensor(alpha).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"Mixture weights must be a table of numbers, not {alpha!r}: {error}."
        ) from error
    if given.is_complex():
        raise ValueError(f"Mixture weights must be real numbers, not {given.tolist()}.")
    alpha = given.to(torch.float32)
    if alpha.shape == (n_components,):
        alpha = alpha.expand(n_blocks, n_components).clone()
    if alpha.shape != (n_blocks, n_components):
        raise ValueError(
            f"Mixture weights of shape {tuple(alpha.shape)} do not fit this hybrid: give "
            f"({n_blocks}, {n_components}), one row per block and one column per component, or "
            f"({n_components},) for every block alike."
        )
    if not torch.isfinite(alpha).all() or (alpha < 0).any():
        raise ValueError(
            f"Mixture weights must be finite and not negative: {alpha.tolist()}. Give shares from "
            "0 to 1."
        )
    sums = alpha.double().sum(dim=1)
    if (sums - 1).abs().max() > SIMPLEX_TOLERANCE:
        raise ValueError(
            f"Each row of mixture weights must sum to 1; the rows sum to {sums.tolist()}. "
            "Divide each row by its sum."
        )
    return alpha


class Mixture(nn.Module):
    """A parameterization of the mixture weights: calling it gives alpha, (N, K), for one pass."""

    def forward(self) -> torch.Tensor:
        """Alpha, (N, K), for one pass."""
        raise NotImplementedError

    def expected(self) -> torch.Tensor:
        """Alpha without the noise that a pass in training may add, (N, K)."""
        return self()

    def live(self) -> list[list[bool]] | None:
        """Which components take part in each block, N times K; None where all do.

        Known without asking the device. A component that does not take part is not run.
        """
        return None


class FixedMixture(Mixture):
    """Given mixture weights, kept in float32 whatever type the hybrid is cast to."""

    def __init__(self, n_blocks: int, n_components: int) -> None:
        super().__init__()
        uniform = torch.full((n_blocks, n_components), 1 / n_components)
        self.alpha = nn.Parameter(uniform, requires_grad=False)
        self._live: tuple[tuple[int, int], list[list[bool]]] | None = None

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> nn.Module:
        return super()._apply(lambda t: t.to(fn(t).device) if t.is_floating_point() else fn(t))

    def forward(self) -> torch.Tensor:
        """Alpha, (N, K), as given."""
        return self.alpha

    def live(self) -> list[list[bool]]:
        """Which components have a weight above zero in each block, N times K."""
        state = (id(self.alpha), self.alpha._version)
        if self._live is None or self._live[0] != state:
            self._live = (state, (self.alpha > 0).tolist())
        return self._live[1]

    @torch.no_grad()
    def assign(self, alpha: torch.Tensor) -> None:
        """Replace the mixture weights, (N, K)."""
        self.alpha.copy_(alpha)

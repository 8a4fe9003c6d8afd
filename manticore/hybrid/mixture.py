"""Mixture weights: alpha[b, k] >= 0 with rows that sum to one (paper section 3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

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


def simplex_grid(n_components: int, points: int) -> torch.Tensor:
    """Points of the simplex with coordinates in steps of 1 / (points - 1), corners included.

    Args:
        n_components: Number of components, K.
        points: Number of points along an edge, at least 2.

    Returns:
        (M, K) points.
    """
    steps = points - 1
    cuts = combinations(range(steps + n_components - 1), n_components - 1)
    rows = []
    for cut in cuts:
        edges = (-1, *cut, steps + n_components - 1)
        rows.append([b - a - 1 for a, b in pairwise(edges)])
    return torch.tensor(rows, dtype=torch.float32) / steps


INSIDE = 1e-3
"""How far inside a corner of the simplex is moved, as a softmax cannot reach it."""


def logits_of(alpha: torch.Tensor) -> torch.Tensor:
    """Logits whose softmax over the last axis gives mixture weights, corners moved inside."""
    return ((1 - INSIDE) * alpha + INSIDE / alpha.shape[-1]).log()


@dataclass(frozen=True)
class PassWeights:
    """The mixture weights of one pass over T tokens.

    Attributes:
        alpha: (N, K); or (B, T, N, K), where each token has mixture weights of its own.
        reach: How many of the T tokens each component takes part in, from the first to the last
            with a weight above zero, N times K; None where all take part throughout. Later tokens
            need not pass through the component's block.
    """

    alpha: torch.Tensor
    reach: list[list[int]] | None = None

    @classmethod
    def of(
        cls, alpha: torch.Tensor, n_tokens: int, live: list[list[bool]] | None = None
    ) -> "PassWeights":
        """The weights of a pass, with their reach.

        Args:
            alpha: (N, K) or (B, T, N, K) mixture weights; for the latter, zeros are looked up,
                which waits for the device.
            n_tokens: T, the number of tokens.
            live: For (N, K): which components take part in each block, N times K; None for all.
        """
        if alpha.ndim == 4:
            last = torch.arange(1, n_tokens + 1, device=alpha.device)[:, None, None]
            return cls(alpha, ((alpha > 0).any(dim=0) * last).amax(dim=0).tolist())
        if live is None:
            return cls(alpha)
        return cls(alpha, [[n_tokens * one for one in row] for row in live])

    @classmethod
    def given(cls, alpha: torch.Tensor, n_tokens: int) -> "PassWeights":
        """The weights of a pass, whose zeros are looked up: components of weight zero do not run.

        Args:
            alpha: (N, K) or (B, T, N, K) mixture weights.
            n_tokens: T, the number of tokens.
        """
        return cls.of(alpha, n_tokens, None if alpha.ndim == 4 else (alpha > 0).tolist())

    @property
    def is_routed(self) -> bool:
        """Whether each token has mixture weights of its own."""
        return self.alpha.ndim == 4

    def weight(self, block: int, k: int, n_tokens: int | None = None) -> torch.Tensor:
        """The weight of a component in a block, to multiply hidden states by: () or (B, T, 1).

        Args:
            block: Index of the block.
            k: Index of the component.
            n_tokens: Only the first so many tokens; all of them if None.
        """
        if not self.is_routed:
            return self.alpha[block, k]
        return self.alpha[:, :n_tokens, block, k, None]

    def at(self, tokens: slice | torch.Tensor) -> "PassWeights":
        """The weights of some of the tokens.

        Args:
            tokens: Which tokens.
        """
        if not self.is_routed:
            return self
        alpha = self.alpha[:, tokens]
        return PassWeights(alpha) if self.reach is None else PassWeights.of(alpha, alpha.shape[1])

    def live(self, block: int) -> list[int]:
        """Indices of the components with a weight above zero at any token of the pass."""
        return self._live[block]

    @cached_property
    def _live(self) -> list[list[int]]:
        """`live` of every block, which a pass asks for many times."""
        n_blocks, n_components = self.alpha.shape[-2:]
        if self.reach is None:
            return [list(range(n_components))] * n_blocks
        return [[k for k in range(n_components) if row[k]] for row in self.reach]

    def extent(self, block: int, k: int, n_tokens: int) -> int:
        """How many of the tokens a component takes part in."""
        return n_tokens if self.reach is None else self.reach[block][k]

    def seeing(self, block: int) -> list[int]:
        """Components that see all tokens of the pass, at once or when they are needed again."""
        return list(range(self.alpha.shape[-1])) if self.is_routed else self.live(block)


class Mixture(nn.Module):
    """A parameterization of the mixture weights: calling it gives alpha, (N, K), for one pass."""

    is_settled = False
    """Whether a hybrid is saved with it; a parameterization of a search is not."""

    def forward(self) -> torch.Tensor:
        """Alpha, (N, K), for one pass."""
        raise NotImplementedError

    def for_pass(self, n_tokens: int) -> PassWeights:
        """The mixture weights of one pass.

        Args:
            n_tokens: T, the number of tokens.
        """
        return PassWeights.of(self(), n_tokens, self.live())

    def expected(self) -> torch.Tensor:
        """Alpha without the noise that a pass in training may add, (N, K)."""
        return self()

    def live(self) -> list[list[bool]] | None:
        """Which components take part in each block, N times K; None where all do.

        Known without asking the device. A component that does not take part is not run.
        """
        return None


class SettledMixture(Mixture):
    """A mixture that is saved with its hybrid, in float32 whatever type the hybrid is cast to."""

    is_settled = True

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> nn.Module:
        return super()._apply(lambda t: t.to(fn(t).device) if t.is_floating_point() else fn(t))


class FixedMixture(SettledMixture):
    """Given mixture weights."""

    def __init__(self, n_blocks: int, n_components: int) -> None:
        super().__init__()
        uniform = torch.full((n_blocks, n_components), 1 / n_components)
        self.alpha = nn.Parameter(uniform, requires_grad=False)
        self._live: tuple[tuple[int, int], list[list[bool]]] | None = None

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

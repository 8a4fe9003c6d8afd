"""Parameterizations of the mixture weights while they are searched (paper section 3.3).

Each holds one row per block, or a single row for all blocks where they are tied, and gives alpha,
(N, K), when called. A component that is pruned from a block has weight exactly zero there, and its
block is no longer run.
"""

from typing import Any

import torch
from torch import nn
from typing_extensions import override

from manticore.hybrid.mixture import INSIDE, Mixture, logits_of


class SearchedMixture(Mixture):
    """What the parameterizations share: tying and pruning.

    Args:
        alpha: (N, K) mixture weights to start from.
        tied: Whether one row serves all blocks; it starts from their mean.
    """

    kept: torch.Tensor
    """(rows, K), bool: components that have not been pruned."""
    under: torch.Tensor
    """(rows, K), int64: how many times in a row each weight was under the threshold."""

    def __init__(self, alpha: torch.Tensor, tied: bool = False) -> None:
        super().__init__()
        self.n_blocks = alpha.shape[0]
        start = alpha.mean(dim=0, keepdim=True) if tied else alpha
        self.row = nn.Parameter(self.parameterize(start.float()))
        self.register_buffer("kept", torch.ones_like(start, dtype=torch.bool))
        self.register_buffer("under", torch.zeros_like(start, dtype=torch.int64))
        self._live: list[list[bool]] | None = None

    def parameterize(self, alpha: torch.Tensor) -> torch.Tensor:
        """The parameters that give mixture weights, of the same shape.

        Args:
            alpha: (rows, K) mixture weights.
        """
        raise NotImplementedError

    def rows(self) -> torch.Tensor:
        """Mixture weights before pruning, (rows, K), as the parameters give them."""
        raise NotImplementedError

    @override
    def forward(self) -> torch.Tensor:
        return self._pruned(self.rows())

    @override
    def expected(self) -> torch.Tensor:
        return self._pruned(self.rows())

    def _pruned(self, rows: torch.Tensor) -> torch.Tensor:
        if self.live() is not None:
            rows = rows * self.kept
            rows = rows / rows.sum(dim=1, keepdim=True)
        return rows.expand(self.n_blocks, -1)

    @override
    def live(self) -> list[list[bool]] | None:
        if self._live is None:
            kept: list[list[bool]] = self.kept.tolist()
            self._live = kept * (self.n_blocks // len(kept))
        return None if all(map(all, self._live)) else self._live

    @torch.no_grad()
    def prune(self, below: float, looks: int = 1) -> int:
        """Remove components whose weight stays under a threshold; each row keeps its greatest.

        Args:
            below: Threshold.
            looks: Number of calls in a row, including this one, at which the weight must be under
                the threshold.

        Returns:
            How many were removed by this call.
        """
        rows = self.expected()[: len(self.kept)]
        under = (rows < below) & (rows < rows.max(dim=1, keepdim=True).values)
        self.under.copy_((self.under + 1) * under)
        keep = self.kept & (self.under < looks)
        taken = int((self.kept & ~keep).sum())
        self.kept.copy_(keep)
        self._live = None
        return taken

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Checkpoints have not always counted.
        state_dict.setdefault(f"{prefix}under", torch.zeros_like(self.under))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._live = None


class SoftmaxMixture(SearchedMixture):
    """alpha = softmax(logits), row by row (DARTS, arXiv 1806.09055)."""

    @override
    def parameterize(self, alpha: torch.Tensor) -> torch.Tensor:
        return logits_of(alpha)

    @override
    def rows(self) -> torch.Tensor:
        return self.row.float().softmax(dim=-1)


class SimplexMixture(SearchedMixture):
    """alpha itself, a point on the simplex, which `ExponentiatedGradient` keeps there (GAEA)."""

    @override
    def parameterize(self, alpha: torch.Tensor) -> torch.Tensor:
        # A weight of exactly zero could never grow, because its updates are factors.
        return (1 - INSIDE) * alpha + INSIDE / alpha.shape[1]

    @override
    def rows(self) -> torch.Tensor:
        return self.row.float()


class GumbelMixture(SoftmaxMixture):
    """alpha = softmax((logits + Gumbel noise) / temperature) in training, without noise elsewhere.

    (DASH, arXiv 2204.07554.) The noise is a function of seed and step alone, so it is the same on
    every process, and in a resumed search.
    """

    temperature = 1.0
    noise: torch.Tensor | None = None

    def draw(self, seed: int, step: int, temperature: float) -> None:
        """Set the noise and the temperature of the coming step.

        Args:
            seed: Random seed of the run.
            step: Number of the step.
            temperature: Temperature of the softmax.
        """
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        uniform = torch.rand(self.row.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
        self.noise = -(-uniform.log()).log().to(self.row.device)
        self.temperature = temperature

    @override
    def forward(self) -> torch.Tensor:
        if not self.training or self.noise is None:
            return self.expected()
        logits = (self.row.float() + self.noise) / self.temperature
        return self._pruned(logits.softmax(dim=-1))


class GivenMixture(SearchedMixture):
    """alpha as it was last set, without gradient: for strategies that try given points.

    Args:
        alpha: (N, K) mixture weights to start from.
        tied: Whether one row serves all blocks; it starts from their mean.
    """

    def __init__(self, alpha: torch.Tensor, tied: bool = False) -> None:
        super().__init__(alpha, tied)
        self.row.requires_grad_(False)

    @override
    def parameterize(self, alpha: torch.Tensor) -> torch.Tensor:
        return alpha.clone()

    @override
    def rows(self) -> torch.Tensor:
        return self.row

    @torch.no_grad()
    def assign(self, alpha: torch.Tensor) -> None:
        """Set the rows.

        Args:
            alpha: (rows, K) mixture weights, or (1, K) for all rows.
        """
        self.row.copy_(alpha)

"""Strategies that try given points of the simplex instead of descending a gradient.

The other weights are shared: each step trains them at one of the points, in turn, and in the end
every point is measured on held-out text.
"""

from typing import Any

import torch
from typing_extensions import override

from manticore.hybrid.mixture import simplex_grid
from manticore.search.parameterizations import GivenMixture
from manticore.search.strategy import Batch, Strategy


class _Candidates(Strategy[GivenMixture]):
    parameterization = GivenMixture

    def candidates(self) -> torch.Tensor:
        """The points to choose from, (M, rows, K)."""
        raise NotImplementedError

    @override
    def before_step(self, step: int, batches: list[Batch]) -> None:
        points = self.candidates()
        self.mixture.assign(points[step % len(points)])

    @override
    def finish(self) -> dict[str, Any]:
        points, losses = self.candidates(), []
        for point in points:
            self.mixture.assign(point)
            losses.append(self.loop.held_out_loss(self.held_out, self.options.probe_batches))
        self.mixture.assign(points[losses.index(min(losses))])
        self.fix()
        return {"candidates": points.tolist(), "held_out_losses": losses}


class RandomSearch(_Candidates):
    """The strategy `random`: points drawn uniformly from the simplex, each row by itself."""

    @override
    def candidates(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        rows, n_components = self.mixture.row.shape
        shape = (self.options.candidates, rows, n_components)
        draws = torch.rand(shape, generator=generator).clamp_min(1e-9).log().neg()
        return draws / draws.sum(dim=-1, keepdim=True)


class AlphaGrid(_Candidates):
    """The strategy `sweep`: a grid over the simplex, one row for all blocks: the alpha curve.

    `held_out_losses` in the result are the curve.
    """

    always_tied = True

    @override
    def candidates(self) -> torch.Tensor:
        return simplex_grid(self.mixture.row.shape[1], self.options.grid)[:, None, :]

"""Projectors: the maps between the hybrid's width and a component's (paper section 3.2).

A kind of projector is one class with an entry in `names.PROJECTORS`. Each starts as the identity or
at random (`reset`), and has a closed-form `fit`: ridge regression from rows of hidden states to the
rows that they should become, which the `aligned` initialization solves at every block boundary.
"""

from abc import ABC, abstractmethod
from typing import Any, cast

import torch
from torch import nn

from manticore.config.run import LOW_RANK
from manticore.names import PROJECTORS


def resize_width(hidden_states: torch.Tensor, width: int) -> torch.Tensor:
    """`pad` and `trunc` of the maths: zero-pad or cut the last axis to `width`."""
    missing = width - hidden_states.shape[-1]
    if missing == 0:
        return hidden_states
    if missing < 0:
        return hidden_states[..., :width]
    return nn.functional.pad(hidden_states, (0, missing))


def ridge(inputs: torch.Tensor, targets: torch.Tensor, strength: float) -> torch.Tensor:
    """(d_in, d_out) weights that minimize |inputs @ W - targets|^2 + strength * |s * W|^2.

    s is the size of each input feature, so `strength` has no unit, and the few outlier features of
    a residual stream do not decide how much the others are shrunk.
    """
    gram = inputs.T @ inputs
    sizes = gram.diagonal()
    penalty = strength * sizes + 1e-9 * sizes.mean().clamp_min(1e-12)
    return torch.linalg.solve(gram + penalty.diag(), inputs.T @ targets)


def affine(
    inputs: torch.Tensor, targets: torch.Tensor, strength: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ridge regression with an intercept: (d_in, d_out) weights and (d_out,) bias, in float64."""
    inputs, targets = inputs.double(), targets.double()
    mean_in, mean_out = inputs.mean(dim=0), targets.mean(dim=0)
    weight = ridge(inputs - mean_in, targets - mean_out, strength)
    return weight, mean_out - mean_in @ weight


class Projector(nn.Module, ABC):
    """A map of hidden states from one width to another.

    Args:
        d_in: Width of what enters.
        d_out: Width of what leaves.
    """

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.d_in = d_in
        self.d_out = d_out

    @abstractmethod
    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(..., d_out) from hidden states (..., d_in)."""

    @abstractmethod
    def reset(self, init: str) -> None:
        """Initialize every weight.

        Args:
            init: `identity`: the projector then pads or cuts, as `resize_width` does; `random`: it
                then keeps the variance of what passes.
        """

    @abstractmethod
    def fit(self, inputs: torch.Tensor, wanted: torch.Tensor, gate: float, strength: float) -> None:
        """Solve (1 - gate) * self(inputs) + gate * resize_width(inputs) = wanted.

        Args:
            inputs: (n, d_in).
            wanted: (n, d_out).
            gate: Share of the input that passes by the projector, 0 to below 1.
            strength: Ridge penalty, relative to the mean square of the inputs.
        """


class IdentityProjector(Projector):
    """No weights: pads or cuts."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(..., d_out), padded or cut."""
        return resize_width(hidden_states, self.d_out)

    def reset(self, init: str) -> None:
        """There is nothing to initialize."""

    def fit(self, inputs: torch.Tensor, wanted: torch.Tensor, gate: float, strength: float) -> None:
        """There is nothing to fit."""


class LinearProjector(Projector):
    """The paper's projector: one affine map."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__(d_in, d_out)
        self.linear = nn.Linear(d_in, d_out)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(..., d_out), by the affine map."""
        return self.linear(hidden_states.to(self.linear.weight.dtype))

    @torch.no_grad()
    def reset(self, init: str) -> None:
        """Initialize the map; the bias is zero."""
        if init == "identity":
            nn.init.eye_(self.linear.weight)
        else:
            nn.init.normal_(self.linear.weight, std=self.d_in**-0.5)
        nn.init.zeros_(self.linear.bias)

    @torch.no_grad()
    def fit(self, inputs: torch.Tensor, wanted: torch.Tensor, gate: float, strength: float) -> None:
        """Ridge regression with an intercept."""
        weight, bias = affine(inputs, wanted, strength)
        passing = gate * torch.eye(*weight.shape, dtype=weight.dtype, device=weight.device)
        self.linear.weight.copy_((weight - passing).T / (1 - gate))
        self.linear.bias.copy_(bias / (1 - gate))


class MLPProjector(Projector):
    """An affine path plus two layers: the ablation that the paper leaves open."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__(d_in, d_out)
        self.skip = LinearProjector(d_in, d_out)
        self.up = nn.Linear(d_in, 2 * max(d_in, d_out))
        self.down = nn.Linear(2 * max(d_in, d_out), d_out)

    def _features(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(self.up(hidden_states))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(..., d_out), the sum of both paths."""
        hidden_states = hidden_states.to(self.up.weight.dtype)
        return self.skip(hidden_states) + self.down(self._features(hidden_states))

    @torch.no_grad()
    def reset(self, init: str) -> None:
        """As the affine path; the second layer starts at zero, so it adds nothing yet."""
        self.skip.reset(init)
        nn.init.normal_(self.up.weight, std=self.d_in**-0.5)
        for tensor in (self.up.bias, self.down.weight, self.down.bias):
            nn.init.zeros_(tensor)

    @torch.no_grad()
    def fit(self, inputs: torch.Tensor, wanted: torch.Tensor, gate: float, strength: float) -> None:
        """Fit the affine path, then the second layer, on random features, to what is left."""
        self.skip.fit(inputs, wanted, gate, strength)
        passing = gate * resize_width(inputs, self.d_out)
        left = wanted - (1 - gate) * self.skip(inputs) - passing
        features = self._features(inputs.to(self.up.weight.dtype))
        weight, bias = affine(features, left, strength)
        self.down.weight.copy_(weight.T / (1 - gate))
        self.down.bias.copy_(bias / (1 - gate))


class LowRankProjector(Projector):
    """What is padded or cut, plus a correction through few channels.

    Attributes:
        rank: Channels of the correction, `LOW_RANK` or the smaller width.
    """

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__(d_in, d_out)
        self.rank = min(LOW_RANK, d_in, d_out)
        self.passing = nn.Parameter(torch.ones(()))
        self.down = nn.Linear(d_in, self.rank, bias=False)
        self.up = nn.Linear(self.rank, d_out)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(..., d_out), the sum of both paths."""
        hidden_states = hidden_states.to(self.down.weight.dtype)
        passed = self.passing * resize_width(hidden_states, self.d_out)
        return passed + self.up(self.down(hidden_states))

    @torch.no_grad()
    def reset(self, init: str) -> None:
        """Initialize both paths: at the identity the correction is zero, at random it is all."""
        nn.init.constant_(self.passing, float(init == "identity"))
        nn.init.normal_(self.down.weight, std=self.d_in**-0.5)
        nn.init.normal_(self.up.weight, std=0.0 if init == "identity" else self.rank**-0.5)
        nn.init.zeros_(self.up.bias)

    @torch.no_grad()
    def fit(self, inputs: torch.Tensor, wanted: torch.Tensor, gate: float, strength: float) -> None:
        """Reduced-rank regression: ridge regression, of whose predictions the main axes are kept.

        (Izenman 1975, https://doi.org/10.1016/0047-259X(75)90042-1.)
        """
        nn.init.ones_(self.passing)
        left = (wanted - resize_width(inputs, self.d_out)) / (1 - gate)
        weight, bias = affine(inputs, left, strength)
        predicted = inputs.double() @ weight
        mean = predicted.mean(dim=0)
        centered = predicted - mean
        # Main axes of what is predicted: eigenvectors, in the order of rising eigenvalues.
        axes = torch.linalg.eigh(centered.T @ centered).eigenvectors[:, -self.rank :]
        self.down.weight.copy_((weight @ axes).T)
        self.up.weight.copy_(axes)
        # What is cut off is centered, so that its mean stays with the bias.
        self.up.bias.copy_(bias + mean - axes @ (axes.T @ mean))


class BlockProjectors(nn.Module):
    """`W_in[b, k]`: D -> d_k and `W_out[b, k]`: d_k -> D for every block and component.

    Args:
        kind: A name in `names.PROJECTORS`.
        width: D, the hybrid's width.
        widths: d_k, the widths of the K components.
        n_blocks: N, the number of blocks.
    """

    def __init__(self, kind: str, width: int, widths: list[int], n_blocks: int) -> None:
        super().__init__()
        make = PROJECTORS.load(kind)
        self.into = _grid(make, n_blocks, [(width, d) for d in widths])
        self.out_of = _grid(make, n_blocks, [(d, width) for d in widths])

    def each(self) -> list[Projector]:
        """Every projector: those into the blocks, then those out of them."""
        rows = [row for grid in (self.into, self.out_of) for row in grid.children()]
        return [one for row in rows for one in row.children() if isinstance(one, Projector)]

    def into_block(self, block: int, k: int) -> Projector:
        """`W_in[block, k]`."""
        return cast(Any, self.into[block])[k]

    def out_of_block(self, block: int, k: int) -> Projector:
        """`W_out[block, k]`."""
        return cast(Any, self.out_of[block])[k]


def _grid(make: type[Projector], n_blocks: int, sizes: list[tuple[int, int]]) -> nn.ModuleList:
    return nn.ModuleList(
        nn.ModuleList(make(d_in, d_out) for d_in, d_out in sizes) for _ in range(n_blocks)
    )

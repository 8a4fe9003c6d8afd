"""Projectors: the maps between the hybrid's width and a component's (paper section 3.2).

Each also has a closed-form `fit`, ridge regression from rows of hidden states to the rows that they
should become, which is what the `aligned` initialisation solves at every block boundary.
"""

import torch
from torch import nn
from transformers import initialization as init


def resize_width(hidden_states: torch.Tensor, width: int) -> torch.Tensor:
    """`pad` and `trunc` of the maths: zero-pad or cut the last axis to `width`."""
    missing = width - hidden_states.shape[-1]
    if missing == 0:
        return hidden_states
    if missing < 0:
        return hidden_states[..., :width]
    return nn.functional.pad(hidden_states, (0, missing))


def ridge(inputs: torch.Tensor, targets: torch.Tensor, strength: float) -> torch.Tensor:
    """(d_in, d_out) weights that minimise |inputs @ W - targets|^2 + strength * |s * W|^2.

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


class IdentityProjector(nn.Module):
    """No weights: pads or cuts."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.d_out = d_out

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return resize_width(hidden_states, self.d_out)

    def reset(self, kind: str) -> None:
        """Nothing to initialise."""

    def fit(self, inputs: torch.Tensor, wanted: torch.Tensor, gate: float, strength: float) -> None:
        """Nothing to fit."""


class LinearProjector(nn.Module):
    """The paper's projector: one affine map."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.linear(hidden_states.to(self.linear.weight.dtype))

    def reset(self, kind: str) -> None:
        """Initialise as padding or cutting ("identity") or at random, keeping variance."""
        if kind == "identity":
            init.copy_(self.linear.weight, torch.eye(*self.linear.weight.shape))
        else:
            init.normal_(self.linear.weight, std=self.linear.in_features**-0.5)
        init.zeros_(self.linear.bias)

    @torch.no_grad()
    def fit(self, inputs: torch.Tensor, wanted: torch.Tensor, gate: float, strength: float) -> None:
        """Solve (1 - gate) * W(inputs) + gate * resize(inputs) = wanted for the affine map W.

        Args:
            inputs: (n, d_in).
            wanted: (n, d_out).
            gate: How much of the input passes beside the projector, 0 to below 1.
            strength: Ridge penalty.
        """
        weight, bias = affine(inputs, wanted, strength)
        beside = gate * torch.eye(*weight.shape, dtype=weight.dtype, device=weight.device)
        self.linear.weight.copy_((weight - beside).T / (1 - gate))
        self.linear.bias.copy_(bias / (1 - gate))


class MLPProjector(nn.Module):
    """Two layers beside an affine path: the ablation that the paper leaves open."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.skip = LinearProjector(d_in, d_out)
        self.up = nn.Linear(d_in, 2 * max(d_in, d_out))
        self.down = nn.Linear(2 * max(d_in, d_out), d_out)

    def _features(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(self.up(hidden_states))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden_states = hidden_states.to(self.up.weight.dtype)
        return self.skip(hidden_states) + self.down(self._features(hidden_states))

    def reset(self, kind: str) -> None:
        """As the affine path; the second layer starts at zero, so it adds nothing yet."""
        self.skip.reset(kind)
        init.normal_(self.up.weight, std=self.up.in_features**-0.5)
        for tensor in (self.up.bias, self.down.weight, self.down.bias):
            init.zeros_(tensor)

    @torch.no_grad()
    def fit(self, inputs: torch.Tensor, wanted: torch.Tensor, gate: float, strength: float) -> None:
        """Fit the affine path, then the second layer, on random features, to what is left."""
        self.skip.fit(inputs, wanted, gate, strength)
        beside = gate * resize_width(inputs, wanted.shape[-1])
        left = wanted - (1 - gate) * self.skip(inputs) - beside
        features = self._features(inputs.to(self.up.weight.dtype))
        weight, bias = affine(features, left, strength)
        self.down.weight.copy_(weight.T / (1 - gate))
        self.down.bias.copy_(bias / (1 - gate))


PROJECTORS = {"linear": LinearProjector, "identity": IdentityProjector, "mlp": MLPProjector}


class BlockProjectors(nn.Module):
    """`W_in[b, k]`: D -> d_k and `W_out[b, k]`: d_k -> D for every block and component.

    Args:
        kind: One of `PROJECTORS`.
        width: D.
        widths: d_k of the K components.
        n_blocks: N.
    """

    def __init__(self, kind: str, width: int, widths: list[int], n_blocks: int) -> None:
        super().__init__()
        make = PROJECTORS[kind]
        self.into = _grid(make, n_blocks, [(width, d) for d in widths])
        self.out_of = _grid(make, n_blocks, [(d, width) for d in widths])


def _grid(make: type[nn.Module], n_blocks: int, sizes: list[tuple[int, int]]) -> nn.ModuleList:
    return nn.ModuleList(
        nn.ModuleList(make(d_in, d_out) for d_in, d_out in sizes) for _ in range(n_blocks)
    )

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
    """(d_in, d_out) weights that minimise |inputs @ W - targets|^2 + strength * scale * |W|^2.

    The scale is the mean square of the inputs, so `strength` has no unit.
    """
    gram = inputs.T @ inputs
    penalty = strength * gram.diagonal().mean().clamp_min(1e-12)
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve(gram + penalty * eye, inputs.T @ targets)


class IdentityProjector(nn.Module):
    """No weights: pads or cuts."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.d_out = d_out

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return resize_width(hidden_states, self.d_out)

    def reset(self, kind: str) -> None:
        """Nothing to initialise."""

    def fit(self, inputs: torch.Tensor, targets: torch.Tensor, strength: float) -> None:
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
    def fit(self, inputs: torch.Tensor, targets: torch.Tensor, strength: float) -> None:
        """Solve for the affine map from (n, d_in) inputs to (n, d_out) targets."""
        inputs, targets = inputs.double(), targets.double()
        mean_in, mean_out = inputs.mean(dim=0), targets.mean(dim=0)
        weight = ridge(inputs - mean_in, targets - mean_out, strength)
        self.linear.weight.copy_(weight.T)
        self.linear.bias.copy_(mean_out - mean_in @ weight)


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
    def fit(self, inputs: torch.Tensor, targets: torch.Tensor, strength: float) -> None:
        """Fit the affine path, then the second layer, on random features, to what is left."""
        self.skip.fit(inputs, targets, strength)
        inputs = inputs.float()
        features = self._features(inputs.to(self.up.weight.dtype)).double()
        left = targets.double() - self.skip(inputs).double()
        mean_in, mean_out = features.mean(dim=0), left.mean(dim=0)
        weight = ridge(features - mean_in, left - mean_out, strength)
        self.down.weight.copy_(weight.T)
        self.down.bias.copy_(mean_out - mean_in @ weight)


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

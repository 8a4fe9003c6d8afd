"""What every scan backend is given: tensors in one canonical form."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ScanInputs:
    """Inputs of a selective scan, all of one dtype and on one device.

    A row is one (batch, group) pair: with G groups of B and C, row r belongs to group r % G.

    Attributes:
        u, delta: (rows, channels, T), any strides.
        A: (G, channels, N). B, C: (rows, N, T), contiguous.
        D, delta_bias: (G, channels), or None.
        z: (rows, channels, T), or None.
        initial_state: (rows, channels, N), or None for zeros.
        delta_softplus: whether the step size is softplus(delta + delta_bias).
    """

    u: torch.Tensor
    delta: torch.Tensor
    A: torch.Tensor
    B: torch.Tensor
    C: torch.Tensor
    D: torch.Tensor | None
    z: torch.Tensor | None
    delta_bias: torch.Tensor | None
    initial_state: torch.Tensor | None
    delta_softplus: bool


def sum_over_batch(shares: torch.Tensor | None, groups: int) -> torch.Tensor | None:
    """(rows, ...) -> (G, ...): what the rows of each group have together."""
    if shares is None:
        return None
    return shares.unflatten(0, (len(shares) // groups, groups)).sum(0)


@dataclass(frozen=True)
class ScanGradients:
    """Gradients in the order and shapes of `ScanInputs`; None where there was no input."""

    u: torch.Tensor
    delta: torch.Tensor
    A: torch.Tensor
    B: torch.Tensor
    C: torch.Tensor
    D: torch.Tensor | None
    z: torch.Tensor | None
    delta_bias: torch.Tensor | None
    initial_state: torch.Tensor | None

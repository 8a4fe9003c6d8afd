"""What every scan backend is given: tensors in one canonical form."""

from dataclasses import dataclass
from typing import overload

import torch


@dataclass(frozen=True)
class ScanInputs:
    """Inputs of a selective scan, all of one dtype and on one device.

    A row is one (batch, group) pair: with G groups of B and C, row r belongs to group r % G.

    Attributes:
        u: Input, (rows, channels, T), any strides.
        delta: Step sizes before bias and softplus, (rows, channels, T), any strides.
        A: Decay rates, (G, channels, N), contiguous.
        B: Input maps, (rows, N, T), contiguous.
        C: Output maps, (rows, N, T), contiguous.
        D: Skip weights, (G, channels), or None.
        z: Gate, (rows, channels, T), any strides, or None.
        delta_bias: Added to delta, (G, channels), or None.
        initial_state: State before the first step, (rows, channels, N), or None for zeros.
        delta_softplus: Whether the step size is softplus(delta + delta_bias).
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


@overload
def sum_over_batch(shares: torch.Tensor, groups: int) -> torch.Tensor: ...
@overload
def sum_over_batch(shares: None, groups: int) -> None: ...
def sum_over_batch(shares: torch.Tensor | None, groups: int) -> torch.Tensor | None:
    """(rows, ...) -> (G, ...): the sum over the rows of each group."""
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

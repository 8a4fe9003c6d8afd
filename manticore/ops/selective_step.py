"""One step of the selective scan, as decoding takes it: a few operations that advance a state.

A scan of a single token would be mostly preparation: its inputs are checked and put in order, and
autograd and a compiled kernel are called, for what little there is to compute.
"""

import torch
from torch import nn


def selective_step(
    state: torch.Tensor,
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
) -> torch.Tensor:
    """One token of `selective_scan`, not differentiable; computed in the state's dtype.

    Args:
        state: State before the token, (batch, channels, N), overwritten with the one after it.
        u: Input, (batch, channels).
        delta: Step sizes before bias and softplus, (batch, channels).
        A: Decay rates, (channels, N), or (channels, 1) where all states of a channel share one.
        B: Input map, (batch, N), or (batch, G, N) for G groups of neighboring channels.
        C: Output map, in the shape of B.
        D: Skip weights, (channels,).
        z: Gate, (batch, channels): the output is multiplied by silu(z).
        delta_bias: Added to delta, (channels,).
        delta_softplus: Whether the step size is softplus(delta + delta_bias).

    Returns:
        y, (batch, channels), in the state's dtype.
    """
    batch, _, n_states = state.shape
    groups = B.shape[1] if B.ndim == 3 else 1
    u, delta, B, C = (tensor.to(state.dtype) for tensor in (u, delta, B, C))
    if delta_bias is not None:
        delta = delta + delta_bias
    if delta_softplus:
        delta = nn.functional.softplus(delta)
    state.mul_(torch.exp(delta[..., None] * A))
    grouped = state.view(batch, groups, -1, n_states)
    grouped.addcmul_((delta * u).view(batch, groups, -1, 1), B.reshape(batch, groups, 1, -1))
    y = (grouped * C.reshape(batch, groups, 1, -1)).sum(-1).flatten(1)
    if D is not None:
        y = y + D * u
    if z is not None:
        y = y * nn.functional.silu(z.to(state.dtype))
    return y

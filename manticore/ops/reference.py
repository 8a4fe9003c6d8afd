"""The selective scan as it is defined, one step after another: the oracle of the tests.

Gu and Dao, "Mamba", arXiv 2312.00752, Algorithm 2 and section 3.5.2. Differentiated by autograd,
in time quadratic in the length: for tests and benchmarks only.
"""

import torch
from torch import nn


def reference_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan with the arguments of `selective_scan`.

    Returns:
        y (batch, channels, T) and the last state (batch, channels, N).
    """
    channels = u.shape[1]
    if B.ndim == 3:
        B, C = B.unsqueeze(1), C.unsqueeze(1)
    per_group = channels // B.shape[1]
    B, C = B.repeat_interleave(per_group, dim=1), C.repeat_interleave(per_group, dim=1)
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = nn.functional.softplus(delta)
    state = torch.zeros_like(u[..., :1] * A) if initial_state is None else initial_state
    outputs = []
    for t in range(u.shape[-1]):
        step = delta[:, :, t, None]
        state = torch.exp(step * A) * state + step * B[..., t] * u[:, :, t, None]
        outputs.append((state * C[..., t]).sum(-1))
    y = torch.stack(outputs, dim=-1)
    if D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * nn.functional.silu(z)
    return y, state

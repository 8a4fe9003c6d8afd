"""A diagonal linear recurrence, h_t = a_t h_{t-1} + x_t, differentiable in linear time.

The recurrence of the RG-LRU (De et al., "Griffin", arXiv 2402.19427, equation 4). With g_t the
gradient for h_t, and w_t what reaches h_t from outside the recurrence:

    g_t = w_t + a_{t+1} g_{t+1}        dx_t = g_t        da_t = g_t h_{t-1}
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch

from manticore.ops.backends import scan_backend


def _loop_forward(a: torch.Tensor, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    states = torch.empty_like(x)
    for t in range(x.shape[1]):
        state = torch.addcmul(x[:, t], a[:, t], state)
        states[:, t] = state
    return states


def _loop_backward(a: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    total = gradient.clone()
    for t in range(a.shape[1] - 2, -1, -1):
        total[:, t] += a[:, t + 1] * total[:, t + 1]
    return total


def _engine(tensor: torch.Tensor) -> tuple[Callable, Callable]:
    """Forward and backward functions: compiled ones on the CPU in float32, otherwise the loops."""
    if tensor.dtype == torch.float32 and scan_backend(tensor.device) == "numba":
        module = importlib.import_module("manticore.ops.cpu.recurrence")  # numba is optional
        return module.forward, module.backward
    return _loop_forward, _loop_backward


class _LinearRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        states = _engine(x)[0](a, x, state)
        ctx.save_for_backward(a, state, states)
        return states

    @staticmethod
    @torch.autograd.function.once_differentiable  # makes ctx positional, which pyright minds
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        a, state, states = ctx.saved_tensors
        total = _engine(states)[1](a, gradient.contiguous())
        before = torch.cat([state[:, None], states[:, :-1]], dim=1)
        return total * before, total, total[:, 0] * a[:, 0]


@torch.compiler.disable
def linear_recurrence(
    a: torch.Tensor, x: torch.Tensor, initial_state: torch.Tensor | None = None
) -> torch.Tensor:
    """All states of h_t = a_t h_{t-1} + x_t, differentiable once.

    Args:
        a: Decay, (batch, T, channels), T at least 1.
        x: Input, (batch, T, channels); float64 is kept, all else becomes float32.
        initial_state: State before the first step, (batch, channels); zeros if None.

    Returns:
        The states h_1 to h_T, (batch, T, channels).

    Raises:
        ValueError: The shapes do not fit, or T is 0.
    """
    if a.shape != x.shape or x.ndim != 3 or x.shape[1] == 0:
        raise ValueError(
            f"a has shape {tuple(a.shape)} and x {tuple(x.shape)}. Pass both as "
            "(batch, T, channels) with T at least 1."
        )
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    state_shape = (x.shape[0], x.shape[2])
    if initial_state is None:
        initial_state = x.new_zeros(state_shape)
    elif tuple(initial_state.shape) != state_shape:
        raise ValueError(
            f"initial_state has shape {tuple(initial_state.shape)}. With x as it is, pass "
            f"{state_shape}."
        )
    if x.shape[1] == 1:
        return torch.addcmul(x.to(dtype), a.to(dtype), initial_state.to(dtype)[:, None])
    with torch.autocast(x.device.type, enabled=False):
        return _LinearRecurrence.apply(
            a.to(dtype).contiguous(), x.to(dtype).contiguous(), initial_state.to(dtype).contiguous()
        )

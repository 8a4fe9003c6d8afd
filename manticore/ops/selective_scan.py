"""The selective scan of Mamba, differentiable, with state in and state out.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", arXiv 2312.00752:

    d_t = softplus(delta_t + delta_bias)             (softplus only if asked for)
    h_t = exp(d_t A) h_{t-1} + d_t B_t u_t           y_t = C_t . h_t + D u_t       y = y silu(z)

The backward pass is derived in `cpu.kernels`; `backends` says who computes.
"""

from dataclasses import fields
from types import ModuleType
from typing import Any, cast

import torch

from manticore.ops import torch_scan
from manticore.ops.backends import checked_backend, engine_of, mamba_ssm_scan, scan_backend
from manticore.ops.scan_inputs import ScanGradients, ScanInputs

T = torch.Tensor
Tensors = tuple[T, T, T, T, T, T | None, T | None, T | None, T | None]
"""u, delta, A, B, C, D, z, delta_bias and initial_state."""


class _SelectiveScan(torch.autograd.Function):
    """Glue between autograd and an engine: a module with `forward` and `backward`."""

    @staticmethod
    def forward(
        ctx: Any, engine: ModuleType, delta_softplus: bool, *tensors: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        detached = tuple(t if t is None else t.detach() for t in tensors)
        inputs = ScanInputs(*cast("Tensors", detached), delta_softplus)
        keep = any(ctx.needs_input_grad)
        with torch.autocast(inputs.u.device.type, enabled=False):
            y, last_state, checkpoints = engine.forward(inputs, keep)
        if keep:
            ctx.save_for_backward(checkpoints, *tensors)
            ctx.engine, ctx.delta_softplus = engine, delta_softplus
        return y, last_state

    @staticmethod
    @torch.autograd.function.once_differentiable  # makes ctx positional, which pyright minds
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, y_gradient: torch.Tensor, state_gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        checkpoints, *tensors = ctx.saved_tensors
        inputs = ScanInputs(*cast("Tensors", tuple(tensors)), ctx.delta_softplus)
        with torch.autocast(inputs.u.device.type, enabled=False):
            gradients = ctx.engine.backward(inputs, checkpoints, y_gradient, state_gradient)
        return None, None, *(getattr(gradients, field.name) for field in fields(ScanGradients))


def _check_shapes(u, delta, A, B, C, D, z, delta_bias, initial_state) -> None:
    if u.ndim != 3 or A.ndim != 2:
        raise ValueError(
            f"u has shape {tuple(u.shape)} and A {tuple(A.shape)}. Pass u as (batch, channels, T) "
            "and A as (channels, N)."
        )
    batch, channels, length = u.shape
    n_states = A.shape[1]
    groups = B.shape[1] if B.ndim == 4 else 1
    group_axis = (groups,) if B.ndim == 4 else ()
    expected = {
        "delta": (delta, (batch, channels, length)),
        "A": (A, (channels, n_states)),
        "B": (B, (batch, *group_axis, n_states, length)),
        "C": (C, (batch, *group_axis, n_states, length)),
        "D": (D, (channels,)),
        "z": (z, (batch, channels, length)),
        "delta_bias": (delta_bias, (channels,)),
        "initial_state": (initial_state, (batch, channels, n_states)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}. With u as it is, pass {shape}."
            )
        if tensor is not None and tensor.device != u.device:
            raise ValueError(f"{name} is on {tensor.device} and u on {u.device}. Move one of them.")
    if groups == 0 or channels % groups:
        raise ValueError(
            f"{channels} channels cannot be split evenly into the {groups} groups of B and C. Use "
            "a number of groups that divides them."
        )


def _canonical(u, delta, A, B, C, D, z, delta_bias, initial_state, dtype) -> Tensors:
    """The tensors as `ScanInputs` wants them, by differentiable views and casts."""
    batch, channels, length = u.shape
    groups = B.shape[1] if B.ndim == 4 else 1
    rows, width, n_states = batch * groups, channels // groups, A.shape[1]

    def shaped(tensor: torch.Tensor, *shape: int) -> torch.Tensor:
        return tensor.to(dtype).reshape(shape)

    return (
        shaped(u, rows, width, length),
        shaped(delta, rows, width, length),
        shaped(A, groups, width, n_states).contiguous(),
        shaped(B, rows, n_states, length).contiguous(),
        shaped(C, rows, n_states, length).contiguous(),
        None if D is None else shaped(D, groups, width),
        None if z is None else shaped(z, rows, width, length),
        None if delta_bias is None else shaped(delta_bias, groups, width),
        None if initial_state is None else shaped(initial_state, rows, width, n_states),
    )


@torch.compiler.disable
def selective_scan(
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
    return_last_state: bool = False,
    backend: str | None = None,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Selective scan (Mamba, arXiv 2312.00752, section 3), differentiable once in every tensor.

    Half precision is computed in float32, float64 in float64. Any strides are accepted.

    Args:
        u: Input, (batch, channels, T).
        delta: Step sizes before bias and softplus, (batch, channels, T).
        A: Decay rates, (channels, N), usually negative.
        B: Input maps, (batch, N, T), or (batch, G, N, T) for G groups of neighboring channels.
        C: Output maps, in the shape of B.
        D: Skip weights, (channels,).
        z: Gate, (batch, channels, T): the output is multiplied by silu(z).
        delta_bias: Added to delta, (channels,).
        delta_softplus: Whether the step size is softplus(delta + delta_bias).
        initial_state: State before the first step, (batch, channels, N); zeros if None.
        return_last_state: Whether to return the state after the last step as well.
        backend: One of `backends.BACKENDS`; None lets `scan_backend` choose.

    Returns:
        y (batch, channels, T) in u's dtype; with return_last_state also the last state
        (batch, channels, N) in the dtype of the computation.

    Raises:
        ValueError: Shapes or devices do not fit, or the backend is unknown or for another device.
        RuntimeError: The chosen backend is not installed.
    """
    _check_shapes(u, delta, A, B, C, D, z, delta_bias, initial_state)
    device_type = u.device.type
    if backend is None:
        chosen = scan_backend(u.device)
    else:
        chosen = checked_backend(backend, device_type, "backend")
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    tensors = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    if chosen == "mamba-ssm" and _fits_mamba_ssm(tensors, return_last_state):
        return _run_mamba_ssm(tensors, delta_softplus, return_last_state)
    engine = engine_of(chosen) if dtype == torch.float32 else torch_scan
    y, last_state = _SelectiveScan.apply(engine, delta_softplus, *_canonical(*tensors, dtype))
    y = y.reshape(u.shape).to(u.dtype)
    if return_last_state:
        return y, last_state.reshape(*u.shape[:2], A.shape[1])
    return y


def _fits_mamba_ssm(tensors: Tensors, return_last_state: bool) -> bool:
    """mamba-ssm takes no initial state, has no gradient through the last one, and no float64."""
    needs_gradient = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in tensors
    )
    u, A, initial_state = tensors[0], tensors[2], tensors[-1]
    return (
        initial_state is None
        and not (return_last_state and needs_gradient)
        and u.dtype != torch.float64
        and A.shape[1] <= 256
    )


def _run_mamba_ssm(
    tensors: Tensors, delta_softplus: bool, return_last_state: bool
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """The CUDA kernel takes one dtype for what has a time axis, and float32 for the parameters."""
    scan = mamba_ssm_scan()
    assert scan is not None  # or the backend would not have been chosen
    u, delta, A, B, C, D, z, delta_bias, _ = tensors
    delta, B, C, z = (None if t is None else t.to(u.dtype) for t in (delta, B, C, z))
    A, D, delta_bias = (None if t is None else t.float() for t in (A, D, delta_bias))
    return scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)

"""The selective scan in PyTorch operations, with the backward pass written by hand.

For devices and data types without a compiled kernel. Only the recurrence itself is a loop over
time; everything else is done for a chunk of about sqrt(T) steps at once, and only the states
between chunks are kept, so that memory grows with sqrt(T). The maths is in `cpu.kernels`.
"""

import math

import torch
from torch import nn

from manticore.ops.scan_inputs import ScanGradients, ScanInputs, sum_over_batch


def _per_row(parameter: torch.Tensor, rows: int) -> torch.Tensor:
    """(G, ...) -> (rows, ...): row r takes the entry of group r % G."""
    return parameter.repeat(rows // parameter.shape[0], *[1] * (parameter.ndim - 1))


def _step_sizes(inputs: ScanInputs) -> tuple[torch.Tensor, torch.Tensor]:
    """The raw and the final step sizes, (rows, channels, T)."""
    raw = inputs.delta
    if inputs.delta_bias is not None:
        raw = raw + _per_row(inputs.delta_bias, raw.shape[0])[..., None]
    return raw, nn.functional.softplus(raw) if inputs.delta_softplus else raw


def _chunk_length(steps: int) -> int:
    return max(1, math.isqrt(steps))


def _time_first(sequence: torch.Tensor, chunk: slice) -> torch.Tensor:
    """(..., T) -> (t, ...) for a chunk, contiguous, as everything that follows is per step."""
    return sequence[..., chunk].movedim(-1, 0).contiguous()


def _over_states(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum over N of (t, rows, channels, N) with weights (t, rows, N): (t, rows, channels)."""
    return torch.matmul(states, weights[..., None]).squeeze(-1)


def _over_channels(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum over channels of (t, rows, channels, N) with weights (t, rows, channels)."""
    return torch.matmul(weights[:, :, None], states).squeeze(2)


def _chunk_states(decay: torch.Tensor, injected: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """h_t = decay_t h_{t-1} + injected_t for a chunk, (t, rows, channels, N)."""
    states = torch.empty_like(decay)
    for t in range(decay.shape[0]):
        state = torch.addcmul(injected[t], decay[t], state, out=states[t])
    return states


def _chunk_terms(
    inputs: ScanInputs, A: torch.Tensor, steps: torch.Tensor, chunk: slice
) -> tuple[torch.Tensor, torch.Tensor]:
    """exp(d A) and d u B of a chunk, each (t, rows, channels, N)."""
    d = _time_first(steps, chunk)[..., None]
    u = _time_first(inputs.u, chunk)[..., None]
    return torch.exp(d * A), d * u * _time_first(inputs.B, chunk)[:, :, None]


def forward(
    inputs: ScanInputs, keep: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Scan.

    Args:
        inputs: Inputs of the scan.
        keep: Whether to keep the states before every chunk, for `backward`.

    Returns:
        y, the last state, and the kept states or None.
    """
    rows, channels, length = inputs.u.shape
    A = _per_row(inputs.A, rows)
    _, step_sizes = _step_sizes(inputs)
    state = torch.zeros_like(A) if inputs.initial_state is None else inputs.initial_state
    outputs, checkpoints = [inputs.u.new_empty(0, rows, channels)], []
    for start in range(0, length, _chunk_length(length)):
        chunk = slice(start, start + _chunk_length(length))
        if keep:
            checkpoints.append(state)
        states = _chunk_states(*_chunk_terms(inputs, A, step_sizes, chunk), state)
        outputs.append(_over_states(states, _time_first(inputs.C, chunk)))
        state = states[-1].clone()
    y = torch.cat(outputs).movedim(0, -1)
    if inputs.D is not None:
        y = y + _per_row(inputs.D, rows)[..., None] * inputs.u
    if inputs.z is not None:
        y = y * nn.functional.silu(inputs.z)
    if not keep:
        return y, state, None
    return y, state, torch.stack(checkpoints) if checkpoints else state.new_empty(0)


def _chunk_gradients(
    inputs: ScanInputs,
    A: torch.Tensor,
    step_sizes: torch.Tensor,
    chunk: slice,
    state: torch.Tensor,
    w: torch.Tensor,
    g: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """One chunk backwards: gradients of d, x = d u, A, B, C, the ungated y, and the next g."""
    decay, injected = _chunk_terms(inputs, A, step_sizes, chunk)
    states = _chunk_states(decay, injected, state)
    previous = torch.cat([state[None], states[:-1]])
    w = _time_first(w, chunk)
    C = _time_first(inputs.C, chunk)
    gradients = C[:, :, None] * w[..., None]  # becomes g_t of every step, from the last on
    for t in range(decay.shape[0] - 1, -1, -1):
        g = gradients[t].add_(g) * decay[t]
    d = _time_first(step_sizes, chunk)
    x = d * _time_first(inputs.u, chunk)
    dx = _over_states(gradients, _time_first(inputs.B, chunk))
    dB = _over_channels(gradients, x)
    dC = _over_channels(states, w)
    p = gradients.mul_(decay).mul_(previous)
    dA = torch.einsum("trcn,trc->rcn", p, d)
    dd = p.mul_(A).sum(-1)
    return dd, dx, dA, dB, dC, _over_states(states, C), g


def backward(
    inputs: ScanInputs,
    checkpoints: torch.Tensor,
    y_gradient: torch.Tensor,
    state_gradient: torch.Tensor,
) -> ScanGradients:
    """Gradients of all inputs.

    Args:
        inputs: Inputs of the scan.
        checkpoints: The kept states, from `forward`.
        y_gradient: Gradient of y.
        state_gradient: Gradient of the last state.
    """
    rows, _, length = inputs.u.shape
    groups = inputs.A.shape[0]
    A = _per_row(inputs.A, rows)
    raw, step_sizes = _step_sizes(inputs)
    w = y_gradient * nn.functional.silu(inputs.z) if inputs.z is not None else y_gradient
    dA, g = torch.zeros_like(A), state_gradient
    dd, dx, ungated = (torch.zeros_like(inputs.u) for _ in range(3))
    dB, dC = torch.zeros_like(inputs.B), torch.zeros_like(inputs.C)
    starts = list(range(0, length, _chunk_length(length)))
    for index, start in reversed(list(enumerate(starts))):
        chunk = slice(start, start + _chunk_length(length))
        *per_step, g = _chunk_gradients(inputs, A, step_sizes, chunk, checkpoints[index], w, g)
        dA += per_step.pop(2)
        for whole, part in zip((dd, dx, dB, dC, ungated), per_step, strict=True):
            whole[..., chunk] = part.movedim(0, -1)
    du, dD, dz, dbias = dx * step_sizes, None, None, None
    if inputs.D is not None:
        skip = _per_row(inputs.D, rows)[..., None]
        du, ungated = du + skip * w, ungated + skip * inputs.u
        dD = sum_over_batch((w * inputs.u).sum(-1), groups)
    if inputs.z is not None:
        s = torch.sigmoid(inputs.z)
        dz = y_gradient * ungated * s * (1 + inputs.z * (1 - s))
    ddelta = dd + dx * inputs.u
    if inputs.delta_softplus:
        ddelta = ddelta * torch.sigmoid(raw)
    if inputs.delta_bias is not None:
        dbias = sum_over_batch(ddelta.sum(-1), groups)
    return ScanGradients(
        u=du,
        delta=ddelta,
        A=sum_over_batch(dA, groups),
        B=dB,
        C=dC,
        D=dD,
        z=dz,
        delta_bias=dbias,
        initial_state=g if inputs.initial_state is not None else None,
    )

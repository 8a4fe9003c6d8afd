"""The selective scan on a CPU through the kernels of `kernels`: buffers and workers.

Importing this module compiles the kernels (seconds, once per machine) or loads them from the cache.
"""

import numpy as np
import torch

from manticore.ops.cpu.kernels import CHUNK, scan_backward, scan_forward
from manticore.ops.cpu.simd import LANES
from manticore.ops.cpu.worker_pool import run_ranges, worker_count
from manticore.ops.scan_inputs import ScanGradients, ScanInputs, sum_over_batch

_NO_SEQUENCE = np.zeros((1, 1, 1), np.float32)


def _blocks(inputs: ScanInputs) -> int:
    return inputs.u.shape[0] * -(-inputs.u.shape[1] // LANES)


def _workers(inputs: ScanInputs) -> int:
    work = inputs.u.numel() * inputs.A.shape[2]
    return worker_count(_blocks(inputs), work)


def _kernel_inputs(inputs: ScanInputs) -> tuple[np.ndarray, ...]:
    """NumPy views of u, delta, A, B, C, D, z, bias; zeros stand for absent parameters."""
    absent = np.zeros(inputs.A.shape[:2], np.float32)
    # Copies: memory that NumPy has seen can no longer be freed, which sharded weights need.
    parameters = [absent if p is None else p.clone().numpy() for p in (inputs.D, inputs.delta_bias)]
    gate = _NO_SEQUENCE if inputs.z is None else inputs.z.numpy()
    sequences = [x.numpy() for x in (inputs.u, inputs.delta, inputs.A, inputs.B, inputs.C)]
    return (*sequences, parameters[0], gate, parameters[1])


def forward(
    inputs: ScanInputs, keep: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Scan.

    Args:
        inputs: Inputs of the scan, float32 on the CPU.
        keep: Whether to keep the states before every chunk, for `backward`.

    Returns:
        y, the last state, and the kept states or None.
    """
    rows, channels, steps = inputs.u.shape
    n_states = inputs.A.shape[2]
    y = torch.empty_like(inputs.u)
    last_state = inputs.A.new_empty(rows, channels, n_states)
    shape = (_blocks(inputs), -(-steps // CHUNK), n_states, LANES) if keep else (1, 1, 1, 1)
    checkpoints = inputs.A.new_empty(shape)
    state = inputs.initial_state
    arguments = (
        *_kernel_inputs(inputs),
        _NO_SEQUENCE if state is None else state.numpy(),
        inputs.z is not None,
        inputs.delta_softplus,
        state is not None,
        y.numpy(),
        last_state.numpy(),
        checkpoints.numpy(),
        keep,
    )
    run_ranges(
        lambda _, start, stop: scan_forward(*arguments, start, stop),
        _blocks(inputs),
        _workers(inputs),
    )
    return y, last_state, checkpoints if keep else None


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
    rows, channels, _ = inputs.u.shape
    groups, _, n_states = inputs.A.shape
    n_workers = _workers(inputs)
    du, ddelta = torch.empty_like(inputs.u), torch.empty_like(inputs.delta)
    dz = torch.empty_like(inputs.z) if inputs.z is not None else None
    dA = inputs.A.new_empty(rows, channels, n_states)
    dstate = torch.empty_like(dA)
    dD, dbias = inputs.A.new_empty(rows, channels), inputs.A.new_empty(rows, channels)
    dB = inputs.B.new_zeros(n_workers, *inputs.B.shape)
    dC = torch.zeros_like(dB)
    arguments = (
        *_kernel_inputs(inputs),
        inputs.z is not None,
        inputs.delta_softplus,
        checkpoints.numpy(),
        y_gradient.numpy(),
        state_gradient.contiguous().numpy(),
    )
    shared = [x.numpy() for x in (du, ddelta, dA)]
    rest = [dD.numpy(), _NO_SEQUENCE if dz is None else dz.numpy(), dbias.numpy(), dstate.numpy()]

    def kernel(worker: int, start: int, stop: int) -> None:
        own = (dB[worker].numpy(), dC[worker].numpy())
        scan_backward(*arguments, *shared, *own, *rest, start, stop)

    run_ranges(kernel, _blocks(inputs), n_workers)
    return ScanGradients(
        u=du,
        delta=ddelta,
        A=sum_over_batch(dA, groups),
        B=dB.sum(0),
        C=dC.sum(0),
        D=sum_over_batch(dD, groups) if inputs.D is not None else None,
        z=dz,
        delta_bias=sum_over_batch(dbias, groups) if inputs.delta_bias is not None else None,
        initial_state=dstate if inputs.initial_state is not None else None,
    )

"""The selective scan on CUDA with our own kernels, which Triton compiles when they are first used.

Nothing has to be built: PyTorch for CUDA on Linux brings Triton. Unlike mamba-ssm's kernel it takes
an initial state and has a gradient through the last one.
"""

import math
from typing import Any

import torch
import triton

from manticore.ops.cuda.kernels import backward_kernel, forward_kernel
from manticore.ops.scan_inputs import ScanGradients, ScanInputs, sum_over_batch

if torch.cuda.is_available():
    if torch.cuda.get_device_capability() < (7, 0):
        raise ImportError("Triton has no code for GPUs older than compute capability 7.0.")
    # Builds the launcher of kernels: without a C compiler this fails here, not in the first scan.
    triton.runtime.driver.active.get_current_target()

_TILE = 512
"""Entries of a state tile (N, channels) that a warp keeps: 16 in each lane's registers.

On an H200, 512 is faster than 256 in both directions, in the backward pass by half.
"""


def _tiles(inputs: ScanInputs) -> tuple[dict[str, Any], int]:
    """Sizes of a program's tile, as the kernels take them, and the number of blocks of channels."""
    channels, states = inputs.A.shape[1:]
    padded = _power_of_2(states)
    width = min(max(_TILE // padded, 16), _power_of_2(channels))
    warps = min(max(padded * width // _TILE, 1), 8)
    sizes = {"STATES": padded, "CHANNELS": width, "num_warps": warps}
    return sizes, math.ceil(channels / width)


def _power_of_2(least: int) -> int:
    """The smallest power of two that is not below `least`, 1 or more."""
    return 1 << (least - 1).bit_length()


def _chunk_length(inputs: ScanInputs) -> int:
    """About sqrt(T)."""
    return _power_of_2(math.isqrt(max(inputs.u.shape[-1], 1)))


def _strided(sequence: torch.Tensor | None) -> tuple:
    return (None, 0, 0, 0) if sequence is None else (sequence, *sequence.stride())


def _contiguous(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _transposed(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """With the last two axes exchanged: the kernels want channels, and N of B and C, to be last."""
    return None if tensor is None else tensor.transpose(1, 2).contiguous()


def _common(inputs: ScanInputs) -> tuple[list, list, list, dict[str, Any]]:
    """Arguments of both kernels, in their order: sequences, parameters, sizes and flags."""
    groups, channels, states = inputs.A.shape
    if max(t.stride(-1) for t in (inputs.u, inputs.delta)) * inputs.u.shape[-1] >= 2**31:
        raise ValueError(
            f"{inputs.u.shape[-1]} steps of {channels} channels are more than the kernels can "
            "address. Scan them in parts, each from the last state of the one before."
        )
    sequences = [part for t in (inputs.u, inputs.delta, inputs.z) for part in _strided(t)]
    parameters = [_transposed(inputs.A), _transposed(inputs.B), _transposed(inputs.C)]
    parameters += [_contiguous(inputs.D), _contiguous(inputs.delta_bias)]
    sizes = [groups, channels, inputs.u.shape[-1], states, _chunk_length(inputs)]
    flags = {
        "SOFTPLUS": inputs.delta_softplus,
        "HAS_D": inputs.D is not None,
        "HAS_Z": inputs.z is not None,
        "HAS_BIAS": inputs.delta_bias is not None,
    }
    return sequences, parameters, sizes, flags


def forward(
    inputs: ScanInputs, keep: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Scan.

    Args:
        inputs: Inputs of the scan, float32 on a GPU.
        keep: Whether to keep the states before every chunk, for `backward`.

    Returns:
        y, the last state, and the kept states or None.
    """
    rows, channels, length = inputs.u.shape
    sequences, parameters, sizes, flags = _common(inputs)
    tile, blocks = _tiles(inputs)
    y = torch.empty_like(inputs.u)
    last_state = y.new_empty(rows, inputs.A.shape[2], channels)
    checkpoints = None
    if keep:
        chunks = math.ceil(length / _chunk_length(inputs))
        checkpoints = y.new_empty(rows, blocks, chunks, tile["STATES"], tile["CHANNELS"])
    arguments: list[Any] = [
        *(*sequences, *_strided(y), *parameters, _transposed(inputs.initial_state)),
        *(last_state, checkpoints, *sizes),
    ]
    flags |= {"HAS_INITIAL": inputs.initial_state is not None, "KEEP": keep}
    with torch.cuda.device_of(y):
        forward_kernel[(rows, blocks)](*arguments, **flags, **tile)
    return y, last_state.transpose(1, 2), checkpoints


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
    rows, channels, length = inputs.u.shape
    groups, _, states = inputs.A.shape
    sequences, parameters, sizes, flags = _common(inputs)
    tile, blocks = _tiles(inputs)
    new = inputs.u.new_empty
    du, ddelta = torch.empty_like(inputs.u), torch.empty_like(inputs.delta)
    dz = None if inputs.z is None else torch.empty_like(inputs.z)
    dA, dinitial = (new(rows, states, channels) for _ in range(2))
    dB, dC = (new(blocks, rows, length, states) for _ in range(2))
    dD, dbias = (
        None if parameter is None else new(rows, channels)
        for parameter in (inputs.D, inputs.delta_bias)
    )
    scratch = new(rows, blocks, _chunk_length(inputs), tile["STATES"], tile["CHANNELS"])
    arguments: list[Any] = [
        *(*sequences, *(part for t in (y_gradient, du, ddelta, dz) for part in _strided(t))),
        *(*parameters, checkpoints, scratch, _transposed(state_gradient)),
        *(dA, dB, dC, dD, dbias, dinitial, *sizes),
    ]
    with torch.cuda.device_of(du):
        backward_kernel[(rows, blocks)](*arguments, **flags, **tile)
    return ScanGradients(
        u=du,
        delta=ddelta,
        A=sum_over_batch(dA, groups).transpose(1, 2),
        B=dB.sum(0).transpose(1, 2),
        C=dC.sum(0).transpose(1, 2),
        D=sum_over_batch(dD, groups),
        z=dz,
        delta_bias=sum_over_batch(dbias, groups),
        initial_state=None if inputs.initial_state is None else dinitial.transpose(1, 2),
    )

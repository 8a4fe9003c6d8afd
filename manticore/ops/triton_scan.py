"""The selective scan on CUDA by our own kernels, which Triton compiles when they are first used.

Nothing has to be built for it: PyTorch for CUDA on Linux brings Triton. Unlike mamba-ssm's kernel
it takes an initial state and has a gradient through the last one.
"""

import math

import torch
import triton

from manticore.ops.scan_inputs import ScanGradients, ScanInputs
from manticore.ops.triton_kernels import backward_kernel, forward_kernel

if torch.cuda.is_available():
    # Builds what launches kernels: without a C compiler this fails here, not in the first scan.
    triton.runtime.driver.active.get_current_target()

_TILE = 512
"""Entries of a state tile (N, channels) that a warp keeps: 16 in each lane's registers.

Of 256 and 512 the faster one in both directions on an H200, in the backward pass by half.
"""


def _tiles(inputs: ScanInputs) -> tuple[dict[str, int], int]:
    """Sizes of a program's tile, as the kernels take them, and how many blocks of channels."""
    channels, states = inputs.A.shape[1:]
    padded = triton.next_power_of_2(states)
    width = min(max(_TILE // padded, 16), triton.next_power_of_2(channels))
    warps = min(max(padded * width // _TILE, 1), 8)
    sizes = {"STATES": padded, "CHANNELS": width, "num_warps": warps}
    return sizes, triton.cdiv(channels, width)


def _sizes(inputs: ScanInputs) -> tuple[int, int, int, int, int]:
    """Groups, channels, T, N and the steps of a chunk: about sqrt(T)."""
    groups, channels, states = inputs.A.shape
    length = inputs.u.shape[-1]
    return groups, channels, length, states, triton.next_power_of_2(math.isqrt(max(length, 1)))


def _strided(sequence: torch.Tensor | None) -> tuple:
    return (None, 0, 0, 0) if sequence is None else (sequence, *sequence.stride())


def _contiguous(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _turned(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """With the last two axes exchanged, as the kernels want what has no time axis, or N and T."""
    return None if tensor is None else tensor.transpose(1, 2).contiguous()


def forward(
    inputs: ScanInputs, keep: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """y, the last state, and (if `keep`) the states before every chunk, for `backward`."""
    rows, channels, length = inputs.u.shape
    sizes, blocks = _tiles(inputs)
    numbers = _sizes(inputs)
    y = torch.empty_like(inputs.u)
    last_state = inputs.u.new_empty(rows, inputs.A.shape[2], channels)
    checkpoints = None
    if keep:
        tile = sizes["STATES"], sizes["CHANNELS"]
        checkpoints = y.new_empty(rows, blocks, triton.cdiv(length, numbers[-1]), *tile)
    with torch.cuda.device_of(y):
        forward_kernel[(rows, blocks)](
            *_strided(inputs.u),
            *_strided(inputs.delta),
            *_strided(inputs.z),
            *_strided(y),
            _turned(inputs.A),
            _turned(inputs.B),
            _turned(inputs.C),
            _contiguous(inputs.D),
            _contiguous(inputs.delta_bias),
            _turned(inputs.initial_state),
            last_state,
            checkpoints,
            *numbers,
            SOFTPLUS=inputs.delta_softplus,
            HAS_D=inputs.D is not None,
            HAS_Z=inputs.z is not None,
            HAS_BIAS=inputs.delta_bias is not None,
            HAS_INITIAL=inputs.initial_state is not None,
            KEEP=keep,
            **sizes,
        )
    return y, last_state.transpose(1, 2), checkpoints


def backward(
    inputs: ScanInputs,
    checkpoints: torch.Tensor,
    y_gradient: torch.Tensor,
    state_gradient: torch.Tensor,
) -> ScanGradients:
    """Gradients of all inputs from those of y and of the last state."""
    rows, channels, length = inputs.u.shape
    groups, _, states = inputs.A.shape
    sizes, blocks = _tiles(inputs)
    numbers = _sizes(inputs)
    new = inputs.u.new_empty
    du, ddelta = torch.empty_like(inputs.u), torch.empty_like(inputs.delta)
    dz = None if inputs.z is None else torch.empty_like(inputs.z)
    dA, dinitial = (new(rows, states, channels) for _ in range(2))
    dB, dC = (new(blocks, rows, length, states) for _ in range(2))
    dD, dbias = (
        None if parameter is None else new(rows, channels)
        for parameter in (inputs.D, inputs.delta_bias)
    )
    with torch.cuda.device_of(du):
        backward_kernel[(rows, blocks)](
            *_strided(inputs.u),
            *_strided(inputs.delta),
            *_strided(inputs.z),
            *_strided(y_gradient),
            *_strided(du),
            *_strided(ddelta),
            *_strided(dz),
            _turned(inputs.A),
            _turned(inputs.B),
            _turned(inputs.C),
            _contiguous(inputs.D),
            _contiguous(inputs.delta_bias),
            checkpoints,
            new(rows, blocks, numbers[-1], sizes["STATES"], sizes["CHANNELS"]),
            _turned(state_gradient),
            dA,
            dB,
            dC,
            dD,
            dbias,
            dinitial,
            *numbers,
            SOFTPLUS=inputs.delta_softplus,
            HAS_D=inputs.D is not None,
            HAS_Z=inputs.z is not None,
            HAS_BIAS=inputs.delta_bias is not None,
            **sizes,
        )

    def over_batch(share: torch.Tensor | None) -> torch.Tensor | None:
        return None if share is None else share.unflatten(0, (-1, groups)).sum(0)

    return ScanGradients(
        u=du,
        delta=ddelta,
        A=over_batch(dA).transpose(1, 2),
        B=dB.sum(0).transpose(1, 2),
        C=dC.sum(0).transpose(1, 2),
        D=over_batch(dD),
        z=dz,
        delta_bias=over_batch(dbias),
        initial_state=None if inputs.initial_state is None else dinitial.transpose(1, 2),
    )

"""The linear recurrence as compiled kernels, shared among workers by channels."""

# ruff: noqa: ANN202  (Numba infers the types of compiled functions)

from collections.abc import Callable
from functools import partial

import torch

from manticore.ops.cpu.compiled_kernel import CUBE, INDEX, MATRIX, compiled_kernel
from manticore.ops.cpu.worker_pool import run_ranges, worker_count


@compiled_kernel(CUBE, CUBE, MATRIX, CUBE, INDEX, INDEX)
def _forward_kernel(a, x, state, states, start, stop):
    """states[b, t, c] = a[b, t, c] * states[b, t - 1, c] + x[b, t, c], channels start..stop-1."""
    for b in range(x.shape[0]):
        for c in range(start, stop):
            states[b, 0, c] = a[b, 0, c] * state[b, c] + x[b, 0, c]
        for t in range(1, x.shape[1]):
            for c in range(start, stop):
                states[b, t, c] = a[b, t, c] * states[b, t - 1, c] + x[b, t, c]


@compiled_kernel(CUBE, CUBE, INDEX, INDEX)
def _backward_kernel(a, total, start, stop):
    """In place, from the end: total[b, t, c] += a[b, t + 1, c] * total[b, t + 1, c]."""
    for b in range(total.shape[0]):
        for t in range(total.shape[1] - 2, -1, -1):
            for c in range(start, stop):
                total[b, t, c] += a[b, t + 1, c] * total[b, t + 1, c]


def _share_channels(kernel: Callable[[int, int], None], work: torch.Tensor) -> None:
    n_workers = worker_count(work.shape[2], work.numel())
    run_ranges(lambda _, start, stop: kernel(start, stop), work.shape[2], n_workers)


def forward(a: torch.Tensor, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """All states of h_t = a_t h_{t-1} + x_t, (batch, T, channels), all contiguous."""
    states = torch.empty_like(x)
    arrays = [tensor.numpy() for tensor in (a, x, state, states)]
    _share_channels(partial(_forward_kernel, *arrays), x)
    return states


def backward(a: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Gradients for all states, from what reaches each of them from outside the recurrence."""
    total = gradient.clone()
    arrays = [tensor.numpy() for tensor in (a, total)]
    _share_channels(partial(_backward_kernel, *arrays), total)
    return total

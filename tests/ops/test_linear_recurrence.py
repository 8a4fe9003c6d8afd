"""The linear recurrence against its definition, values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.ops import linear_recurrence


def _definition(a, x, state):
    states = []
    for t in range(x.shape[1]):
        state = a[:, t] * state + x[:, t]
        states.append(state)
    return torch.stack(states, dim=1)


def _inputs(batch, length, channels, dtype=torch.float32):
    generator = torch.Generator().manual_seed(batch + 7 * length + 31 * channels)
    a = torch.rand(batch, length, channels, generator=generator, dtype=dtype)
    a[torch.rand(a.shape, generator=generator) < 0.1] = 0.0  # resets
    x = torch.randn(batch, length, channels, generator=generator, dtype=dtype)
    state = torch.randn(batch, channels, generator=generator, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (a, x, state)]


@settings(max_examples=25)
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 40),
    channels=st.integers(1, 40),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_equals_the_definition(batch, length, channels, dtype):
    inputs = _inputs(batch, length, channels, dtype)
    expected, actual = _definition(*inputs), linear_recurrence(*inputs)
    torch.testing.assert_close(actual, expected)
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    torch.testing.assert_close(
        torch.autograd.grad(actual, inputs, direction),
        torch.autograd.grad(expected, inputs, direction),
        atol=1e-5,
        rtol=1e-5,
    )


def test_work_shared_by_threads_and_strided_inputs():
    a, x, _ = _inputs(2, 300, 600)
    expected = _definition(a, x, torch.zeros(2, 600))
    strided = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (a, x)]
    torch.testing.assert_close(linear_recurrence(*strided), expected)


def test_half_precision_is_accumulated_in_single():
    a, x, state = (tensor.detach().bfloat16() for tensor in _inputs(2, 30, 5))
    states = linear_recurrence(a, x, state)
    assert states.dtype == torch.float32
    torch.testing.assert_close(states, _definition(a.float(), x.float(), state.float()))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"a has shape \(1, 2, 3\) and x \(1, 2, 4\)"):
        linear_recurrence(torch.ones(1, 2, 3), torch.ones(1, 2, 4))
    with pytest.raises(ValueError, match="initial_state has shape"):
        linear_recurrence(torch.ones(1, 2, 3), torch.ones(1, 2, 3), torch.ones(1, 4))
    with pytest.raises(ValueError, match="T at least 1"):
        linear_recurrence(torch.ones(1, 0, 3), torch.ones(1, 0, 3))

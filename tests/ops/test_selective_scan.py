"""The selective scan's backends against the sequential definition, values and gradients.

Without a GPU, Triton's interpreter runs the kernels for CUDA, step by step: the same code on the
same numbers.
"""

import functools
import importlib
import sys
import threading
from types import ModuleType
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.ops import selective_scan, usable_backends
from manticore.ops.reference import reference_scan

ON_GPU = torch.cuda.is_available()
BACKENDS = ["numba", "torch", "triton"]
if ON_GPU and "mamba-ssm" in usable_backends("cuda"):
    BACKENDS.append("mamba-ssm")
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")


def _inputs(batch, channels, length, states, groups=1, seed=0) -> dict[str, torch.Tensor]:
    """All tensors of a scan, float64; B and C with a group axis."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length),
        "A": -normal(channels, states).abs() - 0.1,
        "B": normal(batch, groups, states, length),
        "C": normal(batch, groups, states, length),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": normal(channels),
        "initial_state": normal(batch, channels, states),
    }


@functools.cache
def _interpreted() -> ModuleType:
    """The kernels for CUDA as Python that works on the CPU."""
    triton = pytest.importorskip("triton")
    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 7):
        pytest.skip("older interpreters do not go with NumPy 2.4")
    return importlib.import_module("manticore.ops.cuda.scan")


def _device(backend: str) -> str:
    return "cuda" if ON_GPU and backend in ("triton", "mamba-ssm") else "cpu"


def _scan(*arguments, backend, **tensors):
    """`selective_scan` on whatever device the backend needs; what it gives is on the CPU."""
    device = _device(backend)
    arguments = [t.to(device) if isinstance(t, torch.Tensor) else t for t in arguments]
    tensors = {k: t.to(device) if isinstance(t, torch.Tensor) else t for k, t in tensors.items()}
    if backend != "triton" or ON_GPU:
        found = selective_scan(*arguments, backend=backend, **tensors)
    else:
        module = sys.modules["manticore.ops.selective_scan"]
        with patch.object(module, "engine_of", return_value=_interpreted()):
            found = selective_scan(*arguments, backend="torch", **tensors)
    return tuple(t.cpu() for t in found) if isinstance(found, tuple) else found.cpu()


def _run(scan, inputs, dtype, softplus=True, **options):
    """y, last state and every gradient of a fixed random combination of the two."""
    tensors = {name: t.to(dtype).clone().requires_grad_() for name, t in inputs.items()}
    arguments = [tensors.get(name) for name in NAMES[:8]]
    y, state = scan(*arguments, softplus, tensors.get("initial_state"), **options)
    generator = torch.Generator().manual_seed(99)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64) for t in (y, state)]
    loss = (y.double() * weights[0]).sum() + (state.double() * weights[1]).sum()
    loss.backward()
    return {"y": y, "state": state, **{name: t.grad for name, t in tensors.items()}}


def _check(inputs, backend, softplus=True, dtype=torch.float32, tolerance=2e-5):
    expected = _run(reference_scan, inputs, torch.float64, softplus)
    actual = _run(_scan, inputs, dtype, softplus, return_last_state=True, backend=backend)
    for name, value in expected.items():
        scale = max(1.0, value.abs().max().item()) if value.numel() else 1.0
        torch.testing.assert_close(
            actual[name].double() / scale,
            value / scale,
            atol=tolerance,
            rtol=0,
            msg=lambda message, name=name: f"{name}: {message}",
        )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("batch", "channels", "length", "states", "groups"),
    [
        (2, 32, 64, 16, 1),  # whole blocks, whole chunk
        (1, 5, 1, 3, 1),  # a single step
        (3, 40, 67, 5, 2),  # groups of 20 channels, one chunk and a bit
        (2, 17, 130, 1, 1),  # a single state
        (1, 6, 129, 33, 3),  # more states than lanes, groups of two channels
    ],
)
def test_equals_the_reference(backend, batch, channels, length, states, groups):
    if backend == "triton" and not ON_GPU:  # which would take minutes
        batch, length = 1, min(length, 19)
    _check(_inputs(batch, channels, length, states, groups), backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("absent", ["D", "z", "delta_bias", "initial_state", "all"])
def test_optional_inputs_may_be_absent(backend, absent):
    inputs = _inputs(2, 9, 21, 4)
    for name in ("D", "z", "delta_bias", "initial_state") if absent == "all" else (absent,):
        del inputs[name]
    _check(inputs, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_softplus(backend):
    inputs = _inputs(2, 9, 21, 4)
    inputs["delta"], inputs["delta_bias"] = inputs["delta"].abs(), inputs["delta_bias"].abs()
    _check(inputs, backend, softplus=False)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=12)
@given(
    batch=st.integers(1, 3),
    width=st.integers(1, 20),
    groups=st.integers(1, 3),
    length=st.integers(1, 90),
    states=st.integers(1, 20),
)
def test_equals_the_reference_at_any_size(backend, batch, width, groups, length, states):
    if backend == "triton" and not ON_GPU:
        batch, groups, length = 1, min(groups, 2), length % 9 + 1
    _check(_inputs(batch, width * groups, length, states, groups), backend, tolerance=1e-4)


def test_gradients_in_double_precision():
    inputs = _inputs(2, 4, 7, 3, groups=2)
    _check(inputs, None, dtype=torch.float64, tolerance=1e-12)
    tensors = [inputs[name].requires_grad_() for name in NAMES]

    def scan(*arguments):
        return selective_scan(*arguments[:8], True, arguments[8], return_last_state=True)

    assert torch.autograd.gradcheck(scan, tensors)


@pytest.mark.parametrize("backend", BACKENDS)
def test_b_and_c_without_a_group_axis_and_with_any_strides(backend):
    inputs = {name: t.float() for name, t in _inputs(2, 24, 40, 6).items()}
    expected = selective_scan(**inputs, delta_softplus=True, backend="torch")
    inputs["B"], inputs["C"] = inputs["B"][:, 0], inputs["C"][:, 0]
    for name in ("u", "delta", "z", "B", "C"):  # channels last, as a linear layer leaves them
        inputs[name] = inputs[name].transpose(1, 2).contiguous().transpose(1, 2)
    inputs["u"] = torch.stack([inputs["u"], inputs["u"]], dim=-1)[..., 0]
    inputs["A"] = inputs["A"].t().contiguous().t()
    torch.testing.assert_close(_scan(**inputs, delta_softplus=True, backend=backend), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_broadcast_gradient_is_taken(backend):
    inputs = {name: t.float().requires_grad_() for name, t in _inputs(1, 3, 5, 2).items()}
    _scan(**inputs, delta_softplus=True, backend=backend).sum().backward()
    summed = inputs["D"].grad.clone()
    inputs["D"].grad = None
    y = _scan(**inputs, delta_softplus=True, backend=backend)
    y.backward(torch.ones_like(y))
    torch.testing.assert_close(inputs["D"].grad, summed)


@pytest.mark.parametrize("backend", BACKENDS)
def test_scanning_in_chunks_equals_the_whole(backend):
    inputs = {name: t.float() for name, t in _inputs(2, 20, 75, 7).items()}
    options = {"delta_softplus": True, "return_last_state": True, "backend": backend}
    state = inputs.pop("initial_state")
    y, last_state = _scan(**inputs, initial_state=state, **options)
    parts = []
    for start, stop in ((0, 1), (1, 2), (2, 66), (66, 75)):
        chunk = {
            name: t[..., start:stop] if name in ("u", "delta", "B", "C", "z") else t
            for name, t in inputs.items()
        }
        part, state = _scan(**chunk, initial_state=state, **options)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=-1), y, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state, last_state, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_steps_leave_the_state_as_it_was(backend):
    inputs = {name: t.float() for name, t in _inputs(2, 5, 0, 3).items()}
    state = inputs.pop("initial_state")
    y, last_state = _scan(**inputs, initial_state=state, return_last_state=True, backend=backend)
    assert y.shape == (2, 5, 0)
    assert torch.equal(last_state, state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_is_computed_in_single(dtype, backend):
    inputs = {name: t.to(dtype) for name, t in _inputs(2, 20, 33, 4).items()}
    y, state = _scan(**inputs, delta_softplus=True, return_last_state=True, backend=backend)
    single = {name: t.float() for name, t in inputs.items()}
    expected, expected_state = selective_scan(
        **single, delta_softplus=True, return_last_state=True, backend="torch"
    )
    assert y.dtype == dtype
    torch.testing.assert_close(y, expected.to(dtype), atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(state, expected_state, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_changes_nothing(backend):
    inputs = {name: t.float().requires_grad_() for name, t in _inputs(2, 20, 33, 4).items()}
    expected = _scan(**inputs, delta_softplus=True, backend=backend)
    gradients = torch.autograd.grad(expected.square().sum(), list(inputs.values()))
    with torch.autocast(_device(backend), torch.bfloat16):
        y = _scan(**inputs, delta_softplus=True, backend=backend)
        loss = y.square().sum()
        cast_gradients = torch.autograd.grad(loss, list(inputs.values()))
    assert torch.equal(y, expected)
    for gradient, cast_gradient in zip(gradients, cast_gradients, strict=True):
        torch.testing.assert_close(gradient, cast_gradient)


@pytest.mark.parametrize("backend", BACKENDS)
def test_extreme_step_sizes_and_nan(backend):
    inputs = {name: t.float() for name, t in _inputs(1, 4, 6, 2).items()}
    inputs["delta"][0, 0], inputs["delta"][0, 1] = 1e4, -1e4
    y = _scan(**inputs, delta_softplus=True, backend=backend)
    expected = selective_scan(**inputs, delta_softplus=True, backend="torch")
    assert torch.isfinite(y).all()
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    inputs["delta"][0, 2, 3] = float("nan")
    y = _scan(**inputs, delta_softplus=True, backend=backend)
    assert y[0, 2, 3:].isnan().all()
    assert not y[0, 2, :3].isnan().any()
    assert not y[0, 3].isnan().any()


def test_two_python_threads_at_once():
    """Large enough that each call also hands work to the shared pool."""
    torch.set_num_threads(2)
    inputs = {name: t.float().requires_grad_() for name, t in _inputs(2, 128, 96, 16).items()}
    expected = selective_scan(**inputs, delta_softplus=True)
    gradients = torch.autograd.grad(expected.sum(), list(inputs.values()))
    failures = []

    def work() -> None:
        try:
            for _ in range(10):
                y = selective_scan(**inputs, delta_softplus=True)
                again = torch.autograd.grad(y.sum(), list(inputs.values()))
                torch.testing.assert_close(y, expected)
                for a, b in zip(again, gradients, strict=True):
                    torch.testing.assert_close(a, b)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("delta", (2, 6, 8)),
        ("A", (5, 3)),
        ("B", (2, 4, 7)),
        ("C", (2, 2, 3, 7)),
        ("D", (7,)),
        ("z", (2, 6)),
        ("delta_bias", (1,)),
        ("initial_state", (1, 6, 3)),
    ],
)
def test_a_wrong_shape_is_named(name, shape):
    inputs = _inputs(2, 6, 7, 3)
    inputs[name] = torch.zeros(shape, dtype=torch.float64)
    with pytest.raises(ValueError, match=rf"{name} has shape"):
        selective_scan(**inputs)


def test_groups_that_do_not_divide_the_channels_are_named():
    inputs = _inputs(1, 6, 4, 3)
    inputs["B"] = inputs["C"] = torch.zeros(1, 4, 3, 4)
    with pytest.raises(ValueError, match=r"6 channels .* 4 groups"):
        selective_scan(**inputs)

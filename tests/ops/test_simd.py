"""The vector functions of the compiled kernels against NumPy in double precision."""

import numpy as np
import pytest
from numba import njit

from manticore.ops.cpu import simd


def _apply(function):
    """A compiled map of `function` over a float32 array of any length."""

    @njit
    def over_rows(values, results):
        for row in range(values.size // simd.LANES):
            simd.store(results, row, function(simd.load(values, row)))

    def apply(values):
        padded = np.zeros(-(-values.size // simd.LANES) * simd.LANES, np.float32)
        padded[: values.size] = values
        results = np.empty_like(padded)
        over_rows(padded, results)
        return results[: values.size]

    return apply


@njit
def _exp2(x):
    return simd.exp2(x)


@pytest.fixture(scope="module")
def exp2():
    return _apply(_exp2)


def test_exp2_relative_error(exp2):
    x = np.linspace(-126, 127, 1_000_003).astype(np.float32)
    expected = np.exp2(x.astype(np.float64))
    assert np.max(np.abs(exp2(x) / expected - 1)) < 5e-7


def test_exp2_at_its_ends(exp2):
    x = np.array([-np.inf, -1e30, -150, -127.6, 0, 128, 1e30, np.inf], np.float32)
    expected = np.array([0, 0, 0, 0, 1, np.inf, np.inf, np.inf], np.float32)
    assert np.array_equal(exp2(x), expected)
    assert np.isnan(exp2(np.array([np.nan], np.float32)))[0]


def test_sigmoid_and_softplus():
    x = np.linspace(-80, 80, 100_001).astype(np.float32)
    exact = x.astype(np.float64)
    expected = {
        "sigmoid": (_apply(simd.sigmoid), 1 / (1 + np.exp(-exact))),
        "softplus": (_apply(simd.softplus), np.logaddexp(0, exact)),
    }
    for name, (function, values) in expected.items():
        # exp(x) at |x| = 80 multiplies the rounding of x * log2(e) by 80.
        assert np.max(np.abs(function(x) / values - 1)) < 2e-5, name
        near = np.abs(x) < 10
        assert np.max(np.abs(function(x[near]) / values[near] - 1)) < 2e-6, name


def test_lane_sum():
    @njit
    def total(values):
        return simd.lane_sum(simd.load(values, 0))

    assert total(np.arange(simd.LANES, dtype=np.float32)) == sum(range(simd.LANES))

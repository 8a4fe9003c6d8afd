"""Sixteen float32 lanes as a value type inside Numba code.

Numba leaves vectorisation to LLVM's loop vectoriser, which gives up on kernels such as the
selective scan: it cannot prove that the many small buffers do not overlap, and it has no vector
`exp`. Here a vector of sixteen float32 is a type of its own, and what is written is what is
executed: `h = fma(a, h, x)` is one instruction with AVX-512, two with AVX2, four with NEON or SSE
(LLVM splits the vector to what the processor has).

All functions below work inside `numba.njit` code only. None of them uses fast-math flags: the
range reduction in `exp2` relies on exact rounding, and a NaN that goes in must come out.
"""

# ruff: noqa: ANN201, ANN202  (Numba infers the types of compiled functions)

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils
from numba.extending import models, overload, register_model

LANES = 16
LOG2_E = np.float32(1.4426950408889634)

_F32 = ir.FloatType()
_I32 = ir.IntType(32)
_VECTOR = ir.VectorType(_F32, LANES)
_INTEGERS = ir.VectorType(_I32, LANES)

# 2**r on [-1/2, 1/2] and 2*atanh(s)/s in s**2 on [0, 1/9]: least-squares fits, reweighted until
# the relative error was even over the interval (9.1e-08 and 4e-9). 2**0 is 1 exactly, so that
# a step of size zero leaves the state as it is.
_EXP2_COEFFICIENTS = (
    1.0,
    0.6931469775988572,
    0.24022242085173168,
    0.05550733743691016,
    0.0096715126489124,
    0.0013264727065307386,
)
_ATANH_COEFFICIENTS = (
    2.0000000079210407,
    0.6666631468214991,
    0.40024910274601005,
    0.2796060286173369,
    0.2817833442681087,
)
_ROUNDING_MAGIC = 12582912.0  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Numba's decorator, typed as what it makes: called without the typing context."""
    return extending.intrinsic(function)


class Float32Lanes(types.Type):
    """Numba type of a vector of `LANES` float32 values."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


lanes_type = Float32Lanes()


@register_model(Float32Lanes)
class _Float32LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [np.float32(value).item()] * LANES)


def _integers(value: int) -> ir.Constant:
    return ir.Constant(_INTEGERS, [value] * LANES)


def _splat(builder, scalar):
    vector = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, _I32(0))
    return builder.shuffle_vector(vector, vector, _integers(0))


def _fma(builder, a, b, c):
    name = f"llvm.fmuladd.v{LANES}f32"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), name
    )
    return builder.call(function, [a, b, c])


def _row_pointer(context, builder, array_type, array, row):
    struct = context.make_array(array_type)(context, builder, array)
    offset = builder.mul(row, ir.Constant(row.type, LANES))
    pointer = builder.gep(struct.data, [offset])
    return builder.bitcast(pointer, _VECTOR.as_pointer())


@intrinsic
def load(typingctx, array, row):
    """Lanes of `array[row * LANES : (row + 1) * LANES]`; `array` contiguous float32."""

    def codegen(context, builder, signature, args):
        row_value = context.cast(builder, args[1], signature.args[1], types.intp)
        pointer = _row_pointer(context, builder, signature.args[0], args[0], row_value)
        return builder.load(pointer, align=4)

    return lanes_type(array, row), codegen


@intrinsic
def store(typingctx, array, row, value):
    """Write lanes to `array[row * LANES : (row + 1) * LANES]`; `array` contiguous float32."""

    def codegen(context, builder, signature, args):
        row_value = context.cast(builder, args[1], signature.args[1], types.intp)
        pointer = _row_pointer(context, builder, signature.args[0], args[0], row_value)
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, row, value), codegen


@intrinsic
def splat(typingctx, scalar):
    """The same float32 in every lane."""

    def codegen(context, builder, signature, args):
        return _splat(builder, args[0])

    return lanes_type(types.float32), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """`a * b + c`, lane by lane."""

    def codegen(context, builder, signature, args):
        return _fma(builder, *args)

    return lanes_type(a, b, c), codegen


@intrinsic
def lane_sum(typingctx, vector):
    """Sum over the lanes, by halving (a tree of additions), as one float32."""

    def codegen(context, builder, signature, args):
        total, width = args[0], LANES
        while width > 1:
            width //= 2
            low = ir.Constant(ir.VectorType(_I32, width), list(range(width)))
            high = ir.Constant(ir.VectorType(_I32, width), list(range(width, 2 * width)))
            total = builder.fadd(
                builder.shuffle_vector(total, total, low),
                builder.shuffle_vector(total, total, high),
            )
        return builder.extract_element(total, _I32(0))

    return types.float32(vector), codegen


@intrinsic
def exp2(typingctx, vector):
    """2**x to a relative error of 3e-7; exactly 0 below -127, infinite from 127.5 on."""

    def codegen(context, builder, signature, args):
        x = args[0]
        # Comparisons with NaN are false, so these selects let NaN through to the polynomial.
        x = builder.select(builder.fcmp_ordered("<", x, _constant(-127.0)), _constant(-127.0), x)
        x = builder.select(builder.fcmp_ordered(">", x, _constant(128.0)), _constant(128.0), x)
        shifted = builder.fadd(x, _constant(_ROUNDING_MAGIC))
        fraction = builder.fsub(x, builder.fsub(shifted, _constant(_ROUNDING_MAGIC)))
        power = _constant(_EXP2_COEFFICIENTS[-1])
        for coefficient in _EXP2_COEFFICIENTS[-2::-1]:
            power = _fma(builder, power, fraction, _constant(coefficient))
        exponent = builder.shl(builder.bitcast(shifted, _INTEGERS), _integers(23))
        scale = builder.bitcast(builder.add(exponent, _integers(127 << 23)), _VECTOR)
        return builder.fmul(power, scale)

    return lanes_type(vector), codegen


@intrinsic
def select_negative(typingctx, condition, if_negative, otherwise):
    """`if_negative` in the lanes where `condition < 0`, else `otherwise`."""

    def codegen(context, builder, signature, args):
        negative = builder.fcmp_ordered("<", args[0], _constant(0.0))
        return builder.select(negative, args[1], args[2])

    return lanes_type(condition, if_negative, otherwise), codegen


def _arithmetic(instruction: str):
    @intrinsic
    def apply(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return getattr(builder, instruction)(*args)

        return lanes_type(a, b), codegen

    return apply


def _overload_operator(symbol, instruction: str) -> None:
    apply = _arithmetic(instruction)

    @overload(symbol)
    def typed_operator(a, b):
        if isinstance(a, Float32Lanes) and isinstance(b, Float32Lanes):
            return lambda a, b: apply(a, b)
        return None


_overload_operator(operator.add, "fadd")
_overload_operator(operator.sub, "fsub")
_overload_operator(operator.mul, "fmul")
_overload_operator(operator.truediv, "fdiv")


@njit(forceinline=True)
def exp_minus_abs(x):
    """exp(-|x|) for every lane."""
    zero = splat(np.float32(0))
    return exp2(select_negative(x, x, zero - x) * splat(LOG2_E))


@njit(forceinline=True)
def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow and with full relative accuracy for negative x."""
    one = splat(np.float32(1))
    e = exp_minus_abs(x)
    return select_negative(x, e, one) / (one + e)


@njit(forceinline=True)
def softplus(x):
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)), with log1p(e) = 2 atanh(e / (2 + e))."""
    e = exp_minus_abs(x)
    s = e / (e + splat(np.float32(2)))
    square = s * s
    series = splat(np.float32(_ATANH_COEFFICIENTS[4]))
    series = fma(series, square, splat(np.float32(_ATANH_COEFFICIENTS[3])))
    series = fma(series, square, splat(np.float32(_ATANH_COEFFICIENTS[2])))
    series = fma(series, square, splat(np.float32(_ATANH_COEFFICIENTS[1])))
    series = fma(series, square, splat(np.float32(_ATANH_COEFFICIENTS[0])))
    return select_negative(x, splat(np.float32(0)), x) + s * series

"""The selective scan as compiled kernels: one call works on a range of channel blocks.

A block is `LANES` channels of one batch row, side by side in one vector; the state index n is the
outer loop and time the inner one, so that the state `h` and its decay rate stay in registers while
a chunk of `CHUNK` steps passes. Everything of a chunk that is reused (steps, inputs, outputs) sits
in buffers of `CHUNK * LANES` floats, small enough for the first-level cache.

Forward, per channel and state index, with d = softplus(delta + bias) and x = d * u:

    a_t = exp(d_t A)      h_t = a_t h_{t-1} + x_t B_t      y_t = sum_n C_t h_t + D u_t

Backward. Let `w_t` be the gradient of the loss for the ungated y_t, and g_t the one for h_t,
which is reached from y_t and from h_{t+1}:

    g_t = C_t w_t + a_{t+1} g_{t+1}        (g_T starts with the gradient of the last state)
    dC_t = sum_c w_t h_t                   dB_t = sum_c g_t x_t
    dx_t = sum_n g_t B_t                   p_t = g_t a_t h_{t-1}  (= gradient for d_t A)
    dA = sum_t p_t d_t                     dd_t = sum_n p_t A + dx_t u_t
    du_t = dx_t d_t + D w_t                dD = sum_t w_t u_t
    d(initial state) = a_1 g_1             ddelta_t = dd_t sigmoid(delta_t + bias)
    with a gate, y = y' silu(z):           w = dy silu(z),  dz = dy y' silu'(z)

The states are not stored: the forward pass keeps the one at the start of every chunk, and the
backward pass, which takes the chunks from the last to the first, recomputes the rest.

Rows are (batch, group) pairs: arrays have shape (rows, channels, T), parameters (groups, channels,
...), B and C (rows, N, T).
"""

# ruff: noqa: ANN201, ANN202  (Numba infers the types of compiled functions)

import numpy as np
from numba import njit

from manticore.ops.cpu.compiled_kernel import (
    CUBE,
    FLAG,
    INDEX,
    MATRIX,
    STRIDED,
    TESSERACT,
    compiled_kernel,
)
from manticore.ops.cpu.simd import (
    LANES,
    LOG2_E,
    exp2,
    fma,
    lane_sum,
    load,
    sigmoid,
    softplus,
    splat,
    store,
)

CHUNK = 64

_FORWARD = (
    *(STRIDED, STRIDED, CUBE, CUBE, CUBE, MATRIX, STRIDED, MATRIX, CUBE),
    *(FLAG, FLAG, FLAG),
    *(STRIDED, CUBE, TESSERACT, FLAG),
    *(INDEX, INDEX),
)
_BACKWARD = (
    *(STRIDED, STRIDED, CUBE, CUBE, CUBE, MATRIX, STRIDED, MATRIX),
    *(FLAG, FLAG),
    *(TESSERACT, STRIDED, CUBE),
    *(STRIDED, STRIDED, CUBE, CUBE, CUBE, MATRIX, STRIDED, MATRIX, CUBE),
    *(INDEX, INDEX),
)


@njit
def _read_tile(source, row, channel, width, t0, length, tile):
    """tile[t, lane] = source[row, channel + lane, t0 + t]; lanes past the last channel are 0.

    The inner loop runs along memory: lines some KiB apart share a cache set and evict each other.
    """
    if width < LANES:
        tile[: length * LANES] = 0
    if source.strides[1] < source.strides[2]:
        for t in range(length):
            for lane in range(width):
                tile[t * LANES + lane] = source[row, channel + lane, t0 + t]
    else:
        for lane in range(width):
            for t in range(length):
                tile[t * LANES + lane] = source[row, channel + lane, t0 + t]


@njit
def _write_tile(tile, target, row, channel, width, t0, length):
    """target[row, channel + lane, t0 + t] = tile[t, lane]."""
    if target.strides[1] < target.strides[2]:
        for t in range(length):
            for lane in range(width):
                target[row, channel + lane, t0 + t] = tile[t * LANES + lane]
    else:
        for lane in range(width):
            for t in range(length):
                target[row, channel + lane, t0 + t] = tile[t * LANES + lane]


@njit
def _read_states(source, row, channel, width, tile):
    """tile[n, lane] = source[row, channel + lane, n]; lanes past the last channel are 0."""
    tile[:] = 0
    for lane in range(width):
        for n in range(source.shape[2]):
            tile[n * LANES + lane] = source[row, channel + lane, n]


@njit
def _write_states(tile, target, row, channel, width):
    for lane in range(width):
        for n in range(target.shape[2]):
            target[row, channel + lane, n] = tile[n * LANES + lane]


@njit
def _read_vector(source, row, channel, width, tile):
    tile[:LANES] = 0
    for lane in range(width):
        tile[lane] = source[row, channel + lane]


@njit(forceinline=True)
def _step_size(raw, use_softplus):
    return softplus(raw) if use_softplus else raw


@compiled_kernel(*_FORWARD)
def scan_forward(
    u, delta, A, B, C, D, z, bias, state, has_gate, use_softplus, has_state,
    y, last_state, checkpoints, keep, start, stop,
):  # fmt: skip
    """Scan the blocks start..stop-1; write y, last_state and, if `keep`, the checkpoints.

    Shapes: u, delta, z, y (rows, channels, T), any strides; A (groups, channels, N); B, C (rows, N,
    T); D, bias (groups, channels); state, last_state (rows, channels, N); checkpoints (rows *
    blocks, chunks, N, LANES), the state at the start of every chunk. z is read only if has_gate,
    state only if has_state.
    """
    channels, steps = u.shape[1], u.shape[2]
    groups, n_states = A.shape[0], A.shape[2]
    blocks = (channels + LANES - 1) // LANES
    d = np.empty(CHUNK * LANES, np.float32)
    x = np.empty(CHUNK * LANES, np.float32)
    out = np.empty(CHUNK * LANES, np.float32)
    rate = np.empty(n_states * LANES, np.float32)
    h_tile = np.empty(n_states * LANES, np.float32)
    d_row = np.empty(LANES, np.float32)
    bias_row = np.empty(LANES, np.float32)
    log2_e = splat(LOG2_E)
    for task in range(start, stop):
        row, channel = task // blocks, task % blocks * LANES
        group = row % groups
        width = min(LANES, channels - channel)
        _read_states(A, group, channel, width, rate)
        _read_vector(D, group, channel, width, d_row)
        _read_vector(bias, group, channel, width, bias_row)
        skip, shift = load(d_row, 0), load(bias_row, 0)
        if has_state:
            _read_states(state, row, channel, width, h_tile)
        else:
            h_tile[:] = 0
        for t0 in range(0, steps, CHUNK):
            length = min(CHUNK, steps - t0)
            _read_tile(delta, row, channel, width, t0, length, d)
            _read_tile(u, row, channel, width, t0, length, x)
            for t in range(length):
                step = _step_size(load(d, t) + shift, use_softplus)
                value = load(x, t)
                store(d, t, step)
                store(x, t, step * value)
                store(out, t, skip * value)
            if keep:
                checkpoints[task, t0 // CHUNK].reshape(n_states * LANES)[:] = h_tile
            for n in range(n_states):
                decay, h = load(rate, n) * log2_e, load(h_tile, n)
                b, c = B[row, n, t0 : t0 + length], C[row, n, t0 : t0 + length]
                for t in range(length):
                    h = fma(exp2(load(d, t) * decay), h, load(x, t) * splat(b[t]))
                    store(out, t, fma(h, splat(c[t]), load(out, t)))
                store(h_tile, n, h)
            if has_gate:
                _read_tile(z, row, channel, width, t0, length, x)
                for t in range(length):
                    gate = load(x, t)
                    store(out, t, load(out, t) * gate * sigmoid(gate))
            _write_tile(out, y, row, channel, width, t0, length)
        _write_states(h_tile, last_state, row, channel, width)


@compiled_kernel(*_BACKWARD)
def scan_backward(
    u, delta, A, B, C, D, z, bias, has_gate, use_softplus, checkpoints, dy, dlast,
    du, ddelta, dA, dB, dC, dD, dz, dbias, dstate, start, stop,
):  # fmt: skip
    """Gradients of the blocks start..stop-1, from those of y and of the last state.

    Shapes: inputs as in `scan_forward`; du, ddelta, dz that of u; dA, dstate (rows, channels, N);
    dD, dbias (rows, channels). dB, dC (rows, N, T) are *added to*: give every worker its own,
    zeroed, and sum them.
    """
    channels, steps = u.shape[1], u.shape[2]
    groups, n_states = A.shape[0], A.shape[2]
    blocks = (channels + LANES - 1) // LANES
    size = CHUNK * LANES
    d, inputs, x = (
        np.empty(size, np.float32),
        np.empty(size, np.float32),
        np.empty(size, np.float32),
    )
    slope, w = np.empty(size, np.float32), np.empty(size, np.float32)
    a_tile, h_tile = np.empty(size, np.float32), np.empty(size, np.float32)
    dx, dd = np.empty(size, np.float32), np.empty(size, np.float32)
    gate, ungated = np.empty(size, np.float32), np.empty(size, np.float32)
    rate = np.empty(n_states * LANES, np.float32)
    g_tile = np.empty(n_states * LANES, np.float32)
    dA_tile = np.empty(n_states * LANES, np.float32)
    vectors = np.empty(2 * LANES, np.float32)
    zero, one, log2_e = splat(np.float32(0)), splat(np.float32(1)), splat(LOG2_E)
    for task in range(start, stop):
        row, channel = task // blocks, task % blocks * LANES
        group = row % groups
        width = min(LANES, channels - channel)
        _read_states(A, group, channel, width, rate)
        _read_vector(D, group, channel, width, vectors)
        skip = load(vectors, 0)
        _read_vector(bias, group, channel, width, vectors)
        shift = load(vectors, 0)
        _read_states(dlast, row, channel, width, g_tile)
        dA_tile[:] = 0
        skip_gradient, bias_gradient = zero, zero
        for t0 in range((steps - 1) // CHUNK * CHUNK, -1, -CHUNK):
            length = min(CHUNK, steps - t0)
            _read_tile(delta, row, channel, width, t0, length, d)
            _read_tile(u, row, channel, width, t0, length, inputs)
            _read_tile(dy, row, channel, width, t0, length, w)
            if has_gate:
                _read_tile(z, row, channel, width, t0, length, gate)
            for t in range(length):
                raw, value = load(d, t) + shift, load(inputs, t)
                step = _step_size(raw, use_softplus)
                store(slope, t, sigmoid(raw) if use_softplus else one)
                store(d, t, step)
                store(x, t, step * value)
                store(ungated, t, skip * value)
                store(dx, t, zero)
                store(dd, t, zero)
                if has_gate:
                    gate_value, gradient = load(gate, t), load(w, t)
                    s = sigmoid(gate_value)
                    store(w, t, gradient * gate_value * s)
                    store(gate, t, gradient * s * fma(gate_value, one - s, one))
                skip_gradient = fma(load(w, t), value, skip_gradient)
            start_states = checkpoints[task, t0 // CHUNK].reshape(n_states * LANES)
            for n in range(n_states):
                A_n = load(rate, n)
                decay, h = A_n * log2_e, load(start_states, n)
                b, c = B[row, n, t0 : t0 + length], C[row, n, t0 : t0 + length]
                db, dc = dB[row, n, t0 : t0 + length], dC[row, n, t0 : t0 + length]
                for t in range(length):
                    a = exp2(load(d, t) * decay)
                    store(a_tile, t, a)
                    store(h_tile, t, h)
                    h = fma(a, h, load(x, t) * splat(b[t]))
                    dc[t] += lane_sum(load(w, t) * h)
                    if has_gate:
                        store(ungated, t, fma(h, splat(c[t]), load(ungated, t)))
                g, dA_n = load(g_tile, n), load(dA_tile, n)
                for t in range(length - 1, -1, -1):
                    g = fma(splat(c[t]), load(w, t), g)
                    db[t] += lane_sum(g * load(x, t))
                    store(dx, t, fma(g, splat(b[t]), load(dx, t)))
                    g = g * load(a_tile, t)
                    p = g * load(h_tile, t)
                    dA_n = fma(p, load(d, t), dA_n)
                    store(dd, t, fma(p, A_n, load(dd, t)))
                store(g_tile, n, g)
                store(dA_tile, n, dA_n)
            for t in range(length):
                value_gradient = load(dx, t)
                step_gradient = fma(value_gradient, load(inputs, t), load(dd, t)) * load(slope, t)
                bias_gradient = bias_gradient + step_gradient
                store(dd, t, step_gradient)
                store(dx, t, fma(value_gradient, load(d, t), skip * load(w, t)))
                store(gate, t, load(gate, t) * load(ungated, t))
            _write_tile(dx, du, row, channel, width, t0, length)
            _write_tile(dd, ddelta, row, channel, width, t0, length)
            if has_gate:
                _write_tile(gate, dz, row, channel, width, t0, length)
        _write_states(g_tile, dstate, row, channel, width)
        _write_states(dA_tile, dA, row, channel, width)
        store(vectors, 0, skip_gradient)
        store(vectors, 1, bias_gradient)
        for lane in range(width):
            dD[row, channel + lane] = vectors[lane]
            dbias[row, channel + lane] = vectors[LANES + lane]

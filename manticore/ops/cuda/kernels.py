"""The selective scan as Triton kernels: one program works on some channels of one row.

The maths and the names of the gradients are in `cpu.kernels`. A program keeps the state of
its channels in registers, as a tile (N, channels) whose channels lie side by side on the lanes of a
warp, and takes one step of time after the other. The forward pass keeps the states before every
chunk of steps; the backward pass takes the chunks from the last to the first and writes the states
of one chunk at a time into a scratch space, which is small enough for the second-level cache.

Gradients to which several programs contribute (those of B and C, and of the parameters, which all
rows of a group share) are stored one contribution at a time and summed afterwards, so that the same
inputs give the same bits each time; atomic additions would not.

Rows are (batch, group) pairs: arrays have shape (rows, channels, T) and any strides. All else lies
as the tile wants to read it, or Triton would move whole tiles between threads at every step: A and
states are (groups or rows, N, channels), B and C (rows, T, N). N and the channels are padded to
powers of two.
"""

# The language of Triton's kernels is not Python's: which types its versions claim differs.
# pyright: reportGeneralTypeIssues=false

# ruff: noqa: ANN201, ANN202  (Triton infers the types of compiled functions)

import triton
import triton.language as tl


@triton.jit
def _softplus(x):
    """log(1 + exp(x)), by its series where 1 + exp(x) would lose the digits of exp(x)."""
    e = tl.exp(tl.where(x > 20.0, 20.0, x))  # not tl.minimum, which loses what is not a number
    series = e * (1.0 - e * (0.5 - e * (0.3333333333 - e * 0.25)))
    return tl.where(x > 20.0, x, tl.where(e < 0.015625, series, tl.log(1.0 + e)))


@triton.jit
def _place(groups, channels, states, STATES: tl.constexpr, CHANNELS: tl.constexpr):
    """Where a program works.

    Its row, channels and state indices; which of these exist; the offsets of its entries in a tile
    and in (N, channels); which of them exist; and the offset of its group in parameters.
    """
    row = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, STATES)
    there, used = c < channels, n < states
    tile = n[:, None] * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    own = n[:, None] * channels + c[None, :]
    inside = used[:, None] & there[None, :]
    return row, c, n, there, used, tile, own, inside, (row % groups) * channels


@triton.jit
def _parameter(pointer, channel, there, GIVEN: tl.constexpr):
    """One value for each channel; zeros for a parameter that is absent."""
    if GIVEN:
        return tl.load(pointer + channel, there, other=0.0)
    return tl.zeros(there.shape, tl.float32)


@triton.jit
def _step(
    t, u_ptr, u_time, delta_ptr, delta_time, bias, B_ptr, states, there, used,
    SOFTPLUS: tl.constexpr,
):  # fmt: skip
    """Load one step of time: u, the step size before and after softplus, and B."""
    u = tl.load(u_ptr + t * u_time, there, other=0.0)
    raw = tl.load(delta_ptr + t * delta_time, there, other=0.0) + bias
    B = tl.load(B_ptr + t * states, used, other=0.0)
    if SOFTPLUS:
        return u, raw, _softplus(raw), B
    return u, raw, raw, B


@triton.jit
def forward_kernel(
    u_ptr, u_row, u_channel, u_time,
    delta_ptr, delta_row, delta_channel, delta_time,
    z_ptr, z_row, z_channel, z_time,
    y_ptr, y_row, y_channel, y_time,
    A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr, initial_ptr,
    last_ptr, checkpoints_ptr,
    groups, channels, length, states, chunk_length,
    SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_INITIAL: tl.constexpr,
    KEEP: tl.constexpr,
    STATES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Write y and the last state; with KEEP also the states before every chunk.

    Checkpoints are (rows, blocks of channels, chunks, STATES, CHANNELS).
    """
    row, c, n, there, used, tile, own, inside, parameters = _place(
        groups, channels, states, STATES, CHANNELS
    )
    A = tl.load(A_ptr + parameters * states + own, inside, other=0.0)
    D = _parameter(D_ptr, parameters + c, there, HAS_D)
    bias = _parameter(bias_ptr, parameters + c, there, HAS_BIAS)
    if HAS_INITIAL:
        h = tl.load(initial_ptr + row * channels * states + own, inside, other=0.0)
    else:
        h = tl.zeros((STATES, CHANNELS), tl.float32)
    n_chunks = tl.cdiv(length, chunk_length)
    if KEEP:
        program = row * tl.num_programs(1) + tl.program_id(1)
        checkpoints_ptr += program * n_chunks * STATES * CHANNELS
    u_ptr += row * u_row + c * u_channel
    delta_ptr += row * delta_row + c * delta_channel
    y_ptr += row * y_row + c * y_channel
    if HAS_Z:
        z_ptr += row * z_row + c * z_channel
    B_ptr += row * length * states + n
    C_ptr += row * length * states + n
    for t in range(length):
        if KEEP:  # noqa: SIM102  (decided when compiling)
            if t % chunk_length == 0:
                tl.store(checkpoints_ptr + (t // chunk_length) * STATES * CHANNELS + tile, h)
        u, _, d, B = _step(
            t, u_ptr, u_time, delta_ptr, delta_time, bias, B_ptr, states, there, used, SOFTPLUS
        )
        C = tl.load(C_ptr + t * states, used, other=0.0)
        h = tl.exp(d[None, :] * A) * h + (d * u)[None, :] * B[:, None]
        y = tl.sum(h * C[:, None], 0) + D * u
        if HAS_Z:
            z = tl.load(z_ptr + t * z_time, there, other=0.0)
            y *= z * tl.sigmoid(z)
        tl.store(y_ptr + t * y_time, y, there)
    tl.store(last_ptr + row * channels * states + own, h, inside)


@triton.jit
def backward_kernel(
    u_ptr, u_row, u_channel, u_time,
    delta_ptr, delta_row, delta_channel, delta_time,
    z_ptr, z_row, z_channel, z_time,
    dy_ptr, dy_row, dy_channel, dy_time,
    du_ptr, du_row, du_channel, du_time,
    ddelta_ptr, ddelta_row, ddelta_channel, ddelta_time,
    dz_ptr, dz_row, dz_channel, dz_time,
    A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr,
    checkpoints_ptr, scratch_ptr, dlast_ptr,
    dA_ptr, dB_ptr, dC_ptr, dD_ptr, dbias_ptr, dinitial_ptr,
    groups, channels, length, states, chunk_length,
    SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr,
    STATES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Write all gradients.

    dA (rows, N, channels), dD and dbias (rows, channels) get each row's contribution; dB and dC
    (blocks of channels, rows, T, N) each block's.
    """
    row, c, n, there, used, tile, own, inside, parameters = _place(
        groups, channels, states, STATES, CHANNELS
    )
    A = tl.load(A_ptr + parameters * states + own, inside, other=0.0)
    D = _parameter(D_ptr, parameters + c, there, HAS_D)
    bias = _parameter(bias_ptr, parameters + c, there, HAS_BIAS)
    n_chunks = tl.cdiv(length, chunk_length)
    program = row * tl.num_programs(1) + tl.program_id(1)
    checkpoints_ptr += program * n_chunks * STATES * CHANNELS
    scratch_ptr += program * chunk_length * STATES * CHANNELS
    share = (tl.program_id(1) * tl.num_programs(0).to(tl.int64) + row) * length * states + n
    u_ptr += row * u_row + c * u_channel
    delta_ptr += row * delta_row + c * delta_channel
    dy_ptr += row * dy_row + c * dy_channel
    du_ptr += row * du_row + c * du_channel
    ddelta_ptr += row * ddelta_row + c * ddelta_channel
    if HAS_Z:
        z_ptr += row * z_row + c * z_channel
        dz_ptr += row * dz_row + c * dz_channel
    B_ptr += row * length * states + n
    C_ptr += row * length * states + n
    own += row * channels * states
    g = tl.load(dlast_ptr + own, inside, other=0.0)
    dA = tl.zeros((STATES, CHANNELS), tl.float32)
    dD = tl.zeros((CHANNELS,), tl.float32)
    dbias = tl.zeros((CHANNELS,), tl.float32)
    for past in range(n_chunks):
        start = (n_chunks - 1 - past) * chunk_length
        steps = tl.minimum(chunk_length, length - start)
        h = tl.load(checkpoints_ptr + (n_chunks - 1 - past) * STATES * CHANNELS + tile)
        for i in range(steps):
            t = start + i
            tl.store(scratch_ptr + i * STATES * CHANNELS + tile, h)
            u, _, d, B = _step(
                t, u_ptr, u_time, delta_ptr, delta_time, bias, B_ptr, states, there, used, SOFTPLUS
            )
            h = tl.exp(d[None, :] * A) * h + (d * u)[None, :] * B[:, None]
        tl.debug_barrier()  # what one thread wrote, another may read
        for back in range(steps):
            i = steps - 1 - back
            t = start + i
            before = tl.load(scratch_ptr + i * STATES * CHANNELS + tile)
            u, raw, d, B = _step(
                t, u_ptr, u_time, delta_ptr, delta_time, bias, B_ptr, states, there, used, SOFTPLUS
            )
            C = tl.load(C_ptr + t * states, used, other=0.0)
            decay = tl.exp(d[None, :] * A)
            h = decay * before + (d * u)[None, :] * B[:, None]
            w = tl.load(dy_ptr + t * dy_time, there, other=0.0)
            if HAS_Z:
                z = tl.load(z_ptr + t * z_time, there, other=0.0)
                gate = tl.sigmoid(z)
                ungated = tl.sum(h * C[:, None], 0) + D * u
                slope = gate * (1.0 + z * (1.0 - gate))
                tl.store(dz_ptr + t * dz_time, w * ungated * slope, there)
                w *= z * gate
            g += C[:, None] * w[None, :]
            tl.store(dC_ptr + share + t * states, tl.sum(h * w[None, :], 1), used)
            tl.store(dB_ptr + share + t * states, tl.sum(g * (d * u)[None, :], 1), used)
            dx = tl.sum(g * B[:, None], 0)
            g *= decay
            p = g * before
            dA += p * d[None, :]
            dd = tl.sum(p * A, 0) + dx * u
            if SOFTPLUS:
                dd *= tl.sigmoid(raw)
            dD += w * u
            dbias += dd
            tl.store(du_ptr + t * du_time, dx * d + D * w, there)
            tl.store(ddelta_ptr + t * ddelta_time, dd, there)
        tl.debug_barrier()  # before the next chunk's states take this one's place
    tl.store(dA_ptr + own, dA, inside)
    tl.store(dinitial_ptr + own, g, inside)
    if HAS_D:
        tl.store(dD_ptr + row * channels + c, dD, there)
    if HAS_BIAS:
        tl.store(dbias_ptr + row * channels + c, dbias, there)

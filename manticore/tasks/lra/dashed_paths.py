"""Dashed paths that wind through an image without touching, and how they are drawn.

A dash is a row (y, x, y, x): where it starts and where it ends, in pixels. Compiled by Numba,
which takes seconds: the machine code of what is called from elsewhere is kept on disk. All that it
is made of is in this file, after whose changes Numba compiles again.
"""

import numpy as np
from numba import njit

from manticore.ops.cpu.compiled_kernel import njit_kept

BENDS = 37
"""Angles that are tried for each dash that continues a path."""
STARTS = 12
"""Places that are tried for the first dash of a path."""
RETRIES = 4
"""Further trials of a short path that does not fit."""
FINER = 2
"""Points per pixel and axis from which its gray value is the mean."""


@njit_kept()
def draw_paths(
    rng,  # noqa: ANN001, as Numba types it
    side: int,
    dash: float,
    margin: float,
    apart: float,
    continuity: float,
    long_dashes: int,
    n_short: int,
    short_dashes: int,
    drawn: np.ndarray,
) -> bool:
    """Draw two long paths and some short ones.

    Args:
        rng: Random numbers.
        side: Rows of the image, and columns.
        dash: Length of a dash.
        margin: Half the gap between dashes that follow each other.
        apart: Distance between the first ends of the long paths.
        continuity: A bend by an angle has a probability in proportion to cos(continuity * angle)
            squared, up to a right angle of that product.
        long_dashes: Dashes of each long path.
        n_short: Number of short paths.
        short_dashes: Dashes of each short path.
        drawn: (2 * long_dashes + n_short * short_dashes, 4), for the dashes, path by path; NaN
            where a short path is left out, for lack of room.

    Returns:
        Whether both long paths fit.
    """
    drawn[:] = np.nan
    middle = min(2 * apart, side / 2 - 1)
    y = middle + rng.random() * (side - 2 * middle)
    x = middle + rng.random() * (side - 2 * middle)
    angle = 2 * np.pi * rng.random()
    if not _begin(rng, drawn, 0, y, x, side, dash, margin):
        return False
    y, x = y + apart * np.sin(angle), x + apart * np.cos(angle)
    if not _begin(rng, drawn, long_dashes, y, x, side, dash, margin):
        return False
    for number in range(1, long_dashes):
        for path in range(2):
            index = path * long_dashes + number
            if not _extend(rng, drawn, index, side, dash, margin, continuity):
                return False
    for path in range(n_short):
        first = 2 * long_dashes + path * short_dashes
        for _ in range(1 + RETRIES):
            if _short(rng, drawn, first, short_dashes, side, dash, margin, continuity):
                break
            drawn[first : first + short_dashes] = np.nan
    return True


@njit
def _short(rng, drawn, first, dashes, side, dash, margin, continuity):  # noqa: ANN001, ANN202
    """Draw a short path anywhere; False where it does not fit."""
    begun = False
    for _ in range(STARTS):
        y, x = side * rng.random(), side * rng.random()
        begun = _begin(rng, drawn, first, y, x, side, dash, margin)
        if begun:
            break
    if not begun:
        return False
    for index in range(first + 1, first + dashes):
        if not _extend(rng, drawn, index, side, dash, margin, continuity):
            return False
    return True


@njit
def _begin(rng, drawn, index, y, x, side, dash, margin):  # noqa: ANN001, ANN202
    """Draw a first dash from a place, in any direction; False where it does not fit."""
    angle = 2 * np.pi * rng.random()
    to_y, to_x = y + dash * np.sin(angle), x + dash * np.cos(angle)
    if not _is_free(drawn, y, x, to_y, to_x, side, margin, -1):
        return False
    drawn[index] = (y, x, to_y, to_x)
    return True


@njit
def _extend(rng, drawn, index, side, dash, margin, continuity):  # noqa: ANN001, ANN202
    """Draw a dash that continues from the one before it; False where none fits."""
    y0, x0, y1, x1 = drawn[index - 1]
    heading = np.arctan2(y1 - y0, x1 - x0)
    tried = np.empty((BENDS, 4))
    shares = np.zeros(BENDS)
    for number in range(BENDS):
        bend = np.pi * ((number + 1) / (BENDS + 1) - 0.5)
        angle = heading + bend / continuity
        y = y1 + margin * (np.sin(heading) + np.sin(angle))
        x = x1 + margin * (np.cos(heading) + np.cos(angle))
        to_y, to_x = y + dash * np.sin(angle), x + dash * np.cos(angle)
        tried[number] = (y, x, to_y, to_x)
        if _is_free(drawn, y, x, to_y, to_x, side, margin, index - 1):
            shares[number] = np.cos(bend) ** 2
    total = shares.sum()
    if total == 0:
        return False
    chosen = np.searchsorted(np.cumsum(shares), total * rng.random(), side="right")
    drawn[index] = tried[min(chosen, BENDS - 1)]
    return True


@njit
def _is_free(drawn, y0, x0, y1, x1, side, margin, before):  # noqa: ANN001, ANN202
    """Whether a dash stays in the image and away from all others but the one before it."""
    if min(y0, x0, y1, x1) < 1 or max(y0, x0, y1, x1) > side - 1:
        return False
    nearest = (1.5 * margin) ** 2
    for index in range(len(drawn)):
        if index == before or np.isnan(drawn[index, 0]):
            continue
        p0, q0, p1, q1 = drawn[index]
        for a in range(3):
            y, x = y0 + a / 2 * (y1 - y0), x0 + a / 2 * (x1 - x0)
            for b in range(3):
                p, q = p0 + b / 2 * (p1 - p0), q0 + b / 2 * (q1 - q0)
                if (y - p) ** 2 + (x - q) ** 2 < nearest:
                    return False
    return True


@njit_kept()
def ink(lines: np.ndarray, reach: float, side: int) -> np.ndarray:
    """How far each pixel is covered by lines, (side, side), from 0 to 1.

    Args:
        lines: (S, 4) lines, or dots where both ends are the same; NaN for none.
        reach: How far a line reaches to each side, in pixels; at least half a point.
        side: Rows of the image, and columns.
    """
    fine = side * FINER
    covered = np.zeros((fine, fine))
    wide = max(reach * FINER, 0.5)
    for line in lines:
        if np.isnan(line[0]):
            continue
        y0, x0, y1, x1 = line * FINER
        squared = max((y1 - y0) ** 2 + (x1 - x0) ** 2, 1e-9)
        for i in range(max(0, int(min(y0, y1) - wide)), min(fine, int(max(y0, y1) + wide) + 1)):
            for j in range(max(0, int(min(x0, x1) - wide)), min(fine, int(max(x0, x1) + wide) + 1)):
                y, x = i + 0.5, j + 0.5
                along = ((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / squared
                along = min(1.0, max(0.0, along))
                off_y, off_x = y - y0 - along * (y1 - y0), x - x0 - along * (x1 - x0)
                if off_y**2 + off_x**2 <= wide**2:
                    covered[i, j] = 1
    pixels = np.zeros((side, side))
    for i in range(fine):
        for j in range(fine):
            pixels[i // FINER, j // FINER] += covered[i, j] / FINER**2
    return pixels

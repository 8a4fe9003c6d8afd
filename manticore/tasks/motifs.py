"""Keys and values of several tokens, for all examples at once.

Motifs (N examples, M pairs each) are kept as a list with one array (N, M) per place: the i-th token
of each. Their sizes say how many places count.
"""

from collections.abc import Sequence

import numpy as np

Motifs = Sequence[np.ndarray]


def unlike_tokens(
    rng: np.random.Generator, n_tokens: int, shape: tuple[int, int], longest: int
) -> list[np.ndarray]:
    """Motifs of different tokens below `n_tokens`; every ordered choice is equally likely.

    Args:
        rng: Random numbers.
        n_tokens: Number of tokens to choose from, at least `longest`.
        shape: Examples N and motifs M.
        longest: Number of places.
    """
    places: list[np.ndarray] = []
    taken: list[np.ndarray] = []  # the places so far, in ascending order
    for place in range(longest):
        tokens = rng.integers(n_tokens - place, size=shape)
        # The draw counts the tokens that are left: step over those that are not.
        for other in taken:
            tokens += tokens >= other
        places.append(tokens)
        carried = tokens
        for index, other in enumerate(taken):
            taken[index], carried = np.minimum(other, carried), np.maximum(other, carried)
        taken.append(carried)
    return places


def codes(places: Motifs, sizes: np.ndarray, n_tokens: int) -> np.ndarray:
    """A number for each motif (N, M), equal only for equal tokens."""
    result = np.zeros_like(sizes)
    for place, tokens in enumerate(places):
        result = result * (n_tokens + 1) + np.where(place < sizes, tokens + 1, 0)
    return result


def first_occurrence(codes: np.ndarray) -> np.ndarray:
    """For each entry (N, M), the first column of its row with the same code (0 or more)."""
    n_columns = codes.shape[1]
    columns = np.arange(n_columns)
    in_order = np.sort(codes * n_columns + columns, axis=1)  # by code, then by column
    code, column = np.divmod(in_order, n_columns)
    starts = np.zeros_like(codes)
    starts[:, 1:] = np.where(code[:, 1:] != code[:, :-1], columns[1:], 0)
    first = np.take_along_axis(column, np.maximum.accumulate(starts, axis=1), 1)
    result = np.empty_like(first)
    np.put_along_axis(result, column, first, 1)
    return result


def place_pairs(
    sizes: np.ndarray, first: np.ndarray, position: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where pairs start, one after the other, and whether their key came before.

    Column 0, the probed pair, is inserted in front of the first other pair that would start at
    `position` or later; it starts at `end` where a pair with its key comes before that.

    Args:
        sizes: Number of tokens of each pair (N, M).
        first: Index of the first column with the same key (N, M).
        position: Where the probed pair is wanted (N, 1).
        end: Where no pair starts any more (N, 1).

    Returns:
        Starts (N, M), and booleans (N, M).
    """
    others, is_probe = sizes[:, 1:], first[:, 1:] == 0
    starts = np.cumsum(others, 1) - others
    before = starts < position
    put_in = ~(before & is_probe).any(1, keepdims=True)
    probe_start = np.where(put_in, (others * before).sum(1, keepdims=True), end)
    starts += np.where(put_in & ~before, sizes[:, :1], 0)
    repeated = np.zeros(sizes.shape, dtype=bool)
    repeated[:, 1:] = np.where(
        is_probe,
        np.cumsum(is_probe, 1) + put_in > 1,
        first[:, 1:] != np.arange(1, sizes.shape[1]),
    )
    return np.concatenate([probe_start, starts], axis=1), repeated


def write(
    written: Sequence[tuple[Motifs, np.ndarray]], shape: tuple[int, int], padding: int
) -> np.ndarray:
    """Sequences (N, T) of motifs, each given with its start (N, M), over padding.

    A motif's places beyond its size are overwritten: where motifs follow each other without a gap
    up to T, such a place belongs to an earlier place of a later motif. Places from T on are left
    out.
    """
    n, width = shape
    sequence = np.full((n, width + 1), padding)  # the last column takes what is left out
    for place in reversed(range(max(len(places) for places, _ in written))):
        for places, starts in written:
            if place < len(places):
                columns = np.minimum(starts + place, width)
                np.put_along_axis(sequence, columns, places[place], 1)
    return sequence[:, :width]

"""What can be counted in a text without training, for the weight that tasks have in it."""

import functools
from collections.abc import Callable

import numpy as np

_SHUFFLE_SEED = 0


def beyond_chance(
    share: Callable[[np.ndarray, int], float],
) -> Callable[[np.ndarray, int], float]:
    """A share of a text, minus the share of the same tokens in random order.

    That much comes by chance, or from counting few tokens.

    Args:
        share: Function of tokens (n, T) and the size of the vocabulary.
    """

    @functools.wraps(share)
    def beyond(ids: np.ndarray, vocabulary: int) -> float:
        order = np.random.default_rng(_SHUFFLE_SEED).permutation(ids.size)
        shuffled = ids.ravel()[order].reshape(ids.shape)
        return max(0.0, share(ids, vocabulary) - share(shuffled, vocabulary))

    return beyond


def look_back(ids: np.ndarray, keys: np.ndarray, *, far: bool = False) -> float:
    """Share of tokens that equal what followed their key at its last place in the window.

    Args:
        ids: Tokens (n, T).
        keys: What precedes each token but the first (n, T - 1).
        far: Count only keys whose last place is in the first half of the preceding text.
    """
    hits = 0
    for row, following in zip(keys.tolist(), ids[:, 1:].tolist(), strict=True):
        seen: dict[int, tuple[int, int]] = {}
        for place, (key, token) in enumerate(zip(row, following, strict=True)):
            if key in seen and seen[key][1] == token:
                hits += not far or seen[key][0] < place / 2
            seen[key] = (place, token)
    return hits / max(keys.size, 1)


def entropy(symbols: np.ndarray) -> float:
    """Entropy of the symbols' frequencies, in nats per symbol."""
    _, counts = np.unique(symbols, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())

"""The landscape of a hybrid: its perplexity over the mixture weights, point by point."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from manticore.evaluate.by_hand import perplexity_at
from manticore.hybrid.mixture import simplex_grid

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

EDGE = {2: 11, 3: 7}
"""Points along an edge of the simplex, by the number of components."""


@dataclass(frozen=True)
class Point:
    """One point of the landscape.

    Attributes:
        block: Block whose mixture weights are `row` while the others stay; None if all are.
        row: (K,) mixture weights.
        perplexity: Perplexity that was measured there; NaN before.
    """

    block: int | None
    row: tuple[float, ...]
    perplexity: float = float("nan")


def landscape_points(n_blocks: int, n_components: int) -> list[Point]:
    """The points to measure: first those of all blocks together, then those of each block.

    Args:
        n_blocks: Number of blocks, N.
        n_components: Number of components, K.

    Raises:
        ValueError: A simplex of so many components cannot be drawn in a plane.
    """
    if n_components not in EDGE:
        raise ValueError(
            f"There is no landscape of {n_components} components: it is drawn for 2 or 3."
        )
    grid = [tuple(row) for row in simplex_grid(n_components, EDGE[n_components]).tolist()]
    # One block alone is all blocks.
    blocks = [None, *range(n_blocks)] if n_blocks > 1 else [None]
    return [Point(block, row) for block in blocks for row in _coarse_first(grid)]


def measure_landscape(
    hybrid: "ManticoreForCausalLM",
    input_ids: torch.Tensor,
    base: Sequence[Sequence[float]],
) -> Iterator[Point]:
    """Measure every point of the landscape; the hybrid stays as it is.

    Args:
        hybrid: The hybrid.
        input_ids: (n, T) token ids of the text that perplexity is measured on.
        base: (N, K) mixture weights that the other blocks have while one is moved.

    Yields:
        The points of `landscape_points`, in that order, measured.

    Raises:
        ValueError: Wrong mixture weights, or not 2 or 3 components.
    """
    n_blocks = hybrid.config.n_blocks
    for point in landscape_points(n_blocks, len(hybrid.components)):
        rows = [list(point.row if point.block in (None, b) else base[b]) for b in range(n_blocks)]
        yield Point(point.block, point.row, perplexity_at(hybrid, input_ids, rows))


def _coarse_first(grid: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The corners, and then points that are as far as possible from those before."""
    rest = sorted(grid, key=max, reverse=True)
    chosen, rest = rest[: len(grid[0])], rest[len(grid[0]) :]

    def gap(row: tuple[float, ...]) -> float:
        return min(sum((a - b) ** 2 for a, b in zip(row, other, strict=True)) for other in chosen)

    while rest:
        chosen.append(farthest := max(rest, key=gap))
        rest.remove(farthest)
    return chosen

"""What the landscape of a hybrid shows, as plain values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from manticore.views.plots.theme import component_colour, short_names

if TYPE_CHECKING:
    from manticore.evaluate.landscape import Point


def landscape_scene(
    components: Sequence[str],
    n_blocks: int,
    points: "Sequence[Point]",
    *,
    total: int,
    as_found: float,
    scene_id: str = "",
) -> dict[str, Any]:
    """The scene that the landscape's module draws.

    Args:
        components: Names of the components.
        n_blocks: Number of blocks.
        points: The points that are measured so far.
        total: Number of points in the end.
        as_found: Perplexity of the hybrid as it was found.
        scene_id: The id of the diagram's scene, which shows the same mixture weights.
    """
    blocks = [None, *range(n_blocks)] if n_blocks > 1 else [None]
    return {
        "id": scene_id,
        "components": [
            {"name": name, "color": component_colour(k)}
            for k, name in enumerate(short_names(components))
        ],
        "blocks": n_blocks,
        "asFound": as_found,
        "measured": len(points),
        "total": total,
        "charts": [
            {
                "block": block,
                "title": "All blocks together" if block is None else f"Block {block + 1}",
                "points": [
                    {"row": list(point.row), "perplexity": point.perplexity}
                    for point in points
                    if point.block == block
                ],
            }
            for block in blocks
        ],
    }

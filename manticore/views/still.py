"""Mixture weights over the steps of a run as a picture that needs no script: SVG of our own."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from manticore.views.plots.theme import FONT, INK, component_colour, short_names, thin

WIDTH, LEFT, RIGHT = 640, 62, 12
ROW, GAP, TOP, BOTTOM = 40, 8, 30, 26
"""Sizes in pixels: of the picture, its margins, a block's row, and what lies between two rows."""
MOST_MOMENTS = 120


def mixture_svg(events: Sequence[Mapping[str, Any]]) -> str:
    """A row for each block, in which the components' shares are stacked from step to step.

    Args:
        events: `mixture` events in their order, of one search; "" without any.
    """
    if not events:
        return ""
    moments = [events[i] for i in thin(len(events), MOST_MOMENTS)]
    names = short_names(moments[-1]["components"])
    n_blocks = len(moments[-1]["weights"])
    height = TOP + n_blocks * (ROW + GAP) + BOTTOM
    rows = "".join(_row(b, moments) for b in range(n_blocks))
    first, last = moments[0]["step"], moments[-1]["step"]
    axis = _text(LEFT, height - 10, f"step {first}")
    axis += _text(WIDTH - RIGHT, height - 10, f"step {last}", anchor="end")
    said = "; ".join(
        f"block {b}: " + ", ".join(f"{n} {w:.0%}" for n, w in zip(names, row, strict=True))
        for b, row in enumerate(moments[-1]["weights"], 1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" font-family="{FONT}" font-size="12">'
        f"<title>Mixture weights at step {last}. {html.escape(said)}</title>"
        f"{_legend(names)}{rows}{axis}</svg>"
    )


def of_last_task(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The `mixture` events among others; where there are several tasks, those of the last one.

    Args:
        events: Events of a run.
    """
    moments = [event for event in events if event["kind"] == "mixture"]
    task = moments[-1].get("task") if moments else None
    return [event for event in moments if event.get("task") == task]


def _row(b: int, moments: Sequence[Mapping[str, Any]]) -> str:
    """A block: areas from the first component's at the bottom to the last one's at the top."""
    top = TOP + b * (ROW + GAP)
    xs = [LEFT + i * (WIDTH - LEFT - RIGHT) / max(1, len(moments) - 1) for i in range(len(moments))]
    if len(moments) == 1:
        xs, moments = [LEFT, WIDTH - RIGHT], [*moments, *moments]
    below, areas = [0.0] * len(moments), ""
    for k in range(len(moments[-1]["weights"][b])):
        above = [low + m["weights"][b][k] for low, m in zip(below, moments, strict=True)]
        edge = [*zip(xs, above, strict=True), *reversed(list(zip(xs, below, strict=True)))]
        points = " ".join(f"{x:.1f},{top + ROW * (1 - share):.1f}" for x, share in edge)
        areas += f'<polygon points="{points}" fill="{component_colour(k)}" fill-opacity=".82"/>'
        below = above
    return areas + _text(LEFT - 8, top + ROW / 2 + 4, f"block {b + 1}", anchor="end")


def _legend(names: Sequence[str]) -> str:
    shown, x = "", float(LEFT)
    for k, name in enumerate(names):
        shown += f'<rect x="{x:.0f}" y="8" width="11" height="11" rx="3" '
        shown += f'fill="{component_colour(k)}"/>{_text(x + 17, 18, name)}'
        x += 40 + 7 * len(name)
    return shown


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    escaped = html.escape(text)
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{INK}" text-anchor="{anchor}">{escaped}</text>'

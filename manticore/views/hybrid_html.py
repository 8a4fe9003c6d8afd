"""A hybrid as a notebook shows it: its components, how they are cut, and the mixture weights."""

import html
from typing import TYPE_CHECKING, Any

from manticore.hybrid.outline import outline
from manticore.views.plots.theme import MUTED, component_colour, short_names, translucent
from manticore.views.skills import STRONGEST
from manticore.views.wording import count_label, family_label

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

MOST_BLOCKS = 16
"""Blocks that have a column; of deeper hybrids the first ones do."""
CELL = "text-align:right;padding:3px 8px;font-variant-numeric:tabular-nums"


def hybrid_html(hybrid: "ManticoreForCausalLM") -> str:
    """A table with a row for each component, styled by itself.

    Args:
        hybrid: Any hybrid.
    """
    told = outline(hybrid)
    shown = min(told["n_blocks"], MOST_BLOCKS)
    heads = ["component", "family", "parameters", *(f"block {b}" for b in range(1, shown + 1))]
    cells = "".join(f'<th style="{CELL}">{head}</th>' for head in heads)
    weights = hybrid.mixture_weights.tolist()
    rows = "".join(
        _row(k, name, component, [row[k] for row in weights[:shown]])
        for k, (name, component) in enumerate(
            zip(short_names(hybrid.component_names), told["components"], strict=True)
        )
    )
    return (
        f'<table style="border-collapse:collapse"><caption style="text-align:left;'
        f'caption-side:bottom;padding:4px 8px;{MUTED}">{_caption(hybrid, told)}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(k: int, name: str, component: dict[str, Any], shares: list[float]) -> str:
    color = component_colour(k)
    dot = (
        f'<span style="display:inline-block;width:.7em;height:.7em;border-radius:50%;'
        f'margin-right:.5em;background:{color}"></span>'
    )
    said = [f"{dot}{html.escape(name)}", html.escape(family_label(component["family"]))]
    cells = "".join(f'<td style="{CELL}">{text}</td>' for text in said)
    cells += f'<td style="{CELL}">{count_label(component["parameters"])}</td>'
    for block, share in enumerate(shares):
        first, last = component["cuts"][block] + 1, component["cuts"][block + 1]
        layers = f"layer {first}" if first == last else f"layers {first} to {last}"
        shade = translucent(color, STRONGEST * share)
        cells += f'<td title="{layers}" style="{CELL};background:{shade}">{share:.0%}</td>'
    return f"<tr>{cells}</tr>"


def _caption(hybrid: "ManticoreForCausalLM", told: dict[str, Any]) -> str:
    own = sum(parameter.numel() for parameter in hybrid.projectors.parameters())
    weights = "mixture weights of each component in each block"
    if hybrid.is_routed:
        weights = "means of mixture weights that follow the text"
    left_out = told["n_blocks"] - MOST_BLOCKS
    more = f" · {left_out} more blocks" if left_out > 0 else ""
    return (
        f"A pretrained hybrid: {weights} · {told['projector']} projectors, "
        f"{count_label(own)} parameters · mix it by hand with hybrid.mix(){more}"
    )

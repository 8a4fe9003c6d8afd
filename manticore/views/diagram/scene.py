"""What the diagram of a hybrid shows, as plain values: parts, sentences, mixture weights, words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manticore.views.plots.theme import component_colour, short_names

ROWS = Sequence[Sequence[float]]
PROMPT = "Once upon a time"
"""What a hybrid continues if nobody says otherwise."""
TEXT = "bundled:stories-mixed"
"""What a hybrid is measured on if it has no text of its own."""


@dataclass(frozen=True)
class Reading:
    """A text that the hybrid reads, and what it expects next.

    Attributes:
        prompt: The text, whose end stands at the left of the diagram.
        next: The likeliest next tokens with their probabilities, the first one first.
        tokens: Each token of a text with its own (N, K) mixture weights, to be played.
    """

    prompt: str = ""
    next: Sequence[tuple[str, float]] = ()
    tokens: Sequence[tuple[str, ROWS]] = field(default=())


def scene_of(
    outline: Mapping[str, Any],
    weights: ROWS,
    reading: Reading | None = None,
    *,
    scene_id: str = "",
    editable: bool = False,
    hint: str = "",
    history: Sequence[tuple[str, ROWS]] = (),
) -> dict[str, Any]:
    """The scene that the diagram's module draws.

    Args:
        outline: Outline of the hybrid (`hybrid.outline`).
        weights: (N, K) mixture weights.
        reading: What the hybrid reads; nothing if None.
        scene_id: What the scene belongs to, such as the id of a run; a scene of another one
            replaces the diagram.
        editable: Whether the mixture weights can be changed by hand.
        hint: Sentence below the diagram while nothing is pointed at.
        history: Moments to go back to, each as a label and its (N, K) mixture weights, oldest
            first; the last one is now.
    """
    reading = reading or Reading()
    components, n_blocks = outline["components"], outline["n_blocks"]
    names = short_names([component["name"] for component in components])
    return {
        "id": scene_id,
        "about": f"A hybrid of {_listed(names)} in {_count(n_blocks, 'block')}",
        "blocks": n_blocks,
        "components": [
            {
                "name": name,
                "color": component_colour(k),
                "about": _component(name, component),
                "layers": [_layers(component["cuts"], b) for b in range(n_blocks)],
            }
            for k, (name, component) in enumerate(zip(names, components, strict=True))
        ],
        "embeddings": [
            f"Embeddings of {name}: each of {outline['vocabulary']:,} tokens becomes a vector of "
            f"{component['width']} numbers. The first block's mixture weights mix them."
            for name, component in zip(names, components, strict=True)
        ],
        "blockTexts": [
            [_block(b, name, c) for name, c in zip(names, components, strict=True)]
            for b in range(n_blocks)
        ],
        "projectors": [
            [_projectors(b, name, c, outline) for name, c in zip(names, components, strict=True)]
            for b in range(n_blocks)
        ],
        "states": [_state(b, outline) for b in range(n_blocks + 1)],
        "heads": [_head(name, outline) for name in names],
        "weights": [list(row) for row in weights],
        "prompt": reading.prompt,
        "next": [{"text": text, "probability": share} for text, share in reading.next],
        "tokens": [
            {"text": text, "weights": [list(row) for row in rows]} for text, rows in reading.tokens
        ],
        "history": [
            {"label": label, "weights": [[round(share, 4) for share in row] for row in rows]}
            for label, rows in history
        ],
        "editable": editable,
        "hint": hint,
    }


def _component(name: str, component: Mapping[str, Any]) -> str:
    depth = component["cuts"][-1]
    return (
        f"{name} is a component: a pretrained {component['family']} model with "
        f"{_million(component['parameters'])} parameters in {_count(depth, 'layer')} of width "
        f"{component['width']}."
    )


def _block(b: int, name: str, component: Mapping[str, Any]) -> str:
    layers = _layers(component["cuts"], b)
    depth = component["cuts"][-1]
    several = "layers" if "–" in layers else "layer"
    return (
        f"Block {b + 1} of {name}: {several} {layers} of {depth}, "
        f"{_million(component['block_parameters'][b])} parameters. Its mixture weight says how "
        "much of its output enters the sum."
    )


def _projectors(
    b: int, name: str, component: Mapping[str, Any], outline: Mapping[str, Any]
) -> tuple[str, str]:
    wide, own = outline["width"], component["width"]
    into, out_of = (f"{size:,} parameters" for size in component["projectors"][b])
    kind = outline["projector"]
    return (
        f"The {kind} projector into block {b + 1} of {name} turns the shared hidden state of width "
        f"{wide} into this component's own, of width {own} ({into}).",
        f"The {kind} projector out of block {b + 1} of {name} turns its hidden state of width "
        f"{own} into the shared one of width {wide} ({out_of}).",
    )


def _state(b: int, outline: Mapping[str, Any]) -> str:
    where = "before the first block" if b == 0 else f"after block {b}"
    return (
        f"The shared hidden state {where}: {outline['width']} numbers for each token, the sum of "
        "what the components give, each times its mixture weight."
    )


def _head(name: str, outline: Mapping[str, Any]) -> str:
    mixed = {"mixed": "logits", "mixture": "probabilities"}.get(outline["head"])
    if mixed is None:
        return "The hybrid has a head of its own, which was trained with it."
    return (
        f"The head of {name} gives {mixed} for {outline['vocabulary']:,} tokens. The last block's "
        "mixture weights mix them."
    )


def _layers(cuts: Sequence[int], b: int) -> str:
    """The layers of a block, counted from 1."""
    first, last = cuts[b] + 1, cuts[b + 1]
    return str(first) if first == last else f"{first}–{last}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _million(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e5 else f"{number:,}"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]

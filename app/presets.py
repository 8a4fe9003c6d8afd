"""Experiments to begin with: each fills in the form of a search."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gradio as gr
from gradio.components import Component

from manticore.views.catalogue import component_choices

from .page import QUIETLY


@dataclass(frozen=True)
class Preset:
    """An experiment.

    Attributes:
        title: Two to four words.
        asks: The question that it answers, in a sentence.
        components: The components.
        text: The text.
        values: Values of other inputs of the form, by their names; the others get their defaults.
    """

    title: str
    asks: str
    components: tuple[str, ...]
    text: str = "bundled:stories-mixed"
    values: dict[str, Any] = field(default_factory=dict)


_TWIN = "zoo:tales-neox?damaged={}&noise=2&seed={}"
PRESETS = [
    Preset(
        "Two languages",
        "One model knows English, the other Spanish: can a hybrid tell them apart, word by word?",
        ("zoo:tales-neox", "zoo:novelas-mamba"),
    ),
    Preset(
        "One language",
        "The same pair on English alone: does the English model take over, and how fast?",
        ("zoo:tales-neox", "zoo:novelas-mamba"),
        "bundled:stories-en",
        {"strategy": "darts", "steps": 100, "mixture_lr": 0.1, "component_lr": 0.0},
    ),
    Preset(
        "Damaged twins",
        "Two copies, each damaged where the other is whole: is the whole copy found in each block?",
        (_TWIN.format("0,2,4", 1), _TWIN.format("1,3,5", 2)),
        "bundled:stories-en",
        {
            "n_blocks": 6,
            "projector": "identity",
            "projector_init": "identity",
            "strategy": "darts",
            "steps": 30,
            "mixture_lr": 0.3,
            "component_lr": 0.0,
            "seq_len": 64,
        },
    ),
    Preset(
        "Two families",
        "Attention and a state space model, both trained on English: which is needed where?",
        ("zoo:tales-neox", "zoo:tales-mamba"),
        "bundled:stories-en",
        {"strategy": "darts", "steps": 60},
    ),
]


def usable_presets() -> list[Preset]:
    """The presets whose components are bundled here."""
    bundled = {value for _, value in component_choices()}
    return [
        preset
        for preset in PRESETS
        if bundled.issuperset(name.partition("?")[0] for name in preset.components)
    ]


class Presets:
    """Lays out a button for each preset where it is created, with room for its question."""

    def __init__(self) -> None:
        gr.HTML("<b>Begin with an experiment</b>", padding=False, elem_classes="faint")
        self._presets = usable_presets()
        with gr.Row(elem_classes="presets"):
            self._buttons = [
                gr.Button(preset.title, size="sm", min_width=160) for preset in self._presets
            ]
        self._asked = gr.HTML("", padding=False, elem_id="asked", elem_classes="faint")

    def fill_in(self, form: dict[str, Component]) -> None:
        """Have the buttons fill in a form.

        Args:
            form: Inputs by name, such as `components`, `text` and `steps`; what a preset says
                nothing of is set to what it was at first.
        """
        defaults = {name: item.value for name, item in form.items()}  # type: ignore[attr-defined]

        def fill(preset: Preset) -> list[Any]:
            return [*filled(preset, defaults).values(), preset.asks]

        for preset, button in zip(self._presets, self._buttons, strict=True):
            button.click(partial(fill, preset), None, [*form.values(), self._asked], **QUIETLY)


def filled(preset: Preset, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a form that a preset gives.

    Args:
        preset: The preset.
        defaults: The values at first, by name.

    Raises:
        KeyError: The preset has a value for an input that there is not.
    """
    said = {"components": list(preset.components), "text": preset.text, **preset.values}
    if unknown := said.keys() - defaults.keys():
        raise KeyError(f"The preset {preset.title!r} has values for {sorted(unknown)}.")
    return {**defaults, **said}

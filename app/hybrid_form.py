"""The inputs that describe a hybrid and how its mixture weights are searched, on every tab."""

from collections.abc import Collection, Sequence
from typing import Any, get_args

import gradio as gr

from manticore.components.damage import Damage
from manticore.components.zoo import zoo_path
from manticore.config.run import MAX_COMPONENTS, ProjectorInit
from manticore.names import PROJECTORS, STRATEGIES

from . import catalogue
from .cards import CHOOSE, cards_html, toggled
from .page import QUIETLY


def strategy_choices() -> list[tuple[str, str]]:
    """(label, name) of every search strategy."""
    return [(f"{name}: {entry.about.rstrip('.')}", name) for name, entry in STRATEGIES.items()]


def component_inputs(tab: str = "") -> tuple[gr.Dropdown, gr.Slider]:
    """Lay out which components are mixed, their cards, and in how many blocks.

    Args:
        tab: Beginning of the elements' ids.
    """
    chosen = catalogue.default_components()
    depth = catalogue.max_blocks(chosen)
    shown = gr.HTML(cards_html(chosen), js_on_load=CHOOSE, elem_id=f"{tab}cards", padding=False)
    components = gr.Dropdown(
        catalogue.component_choices(),
        value=chosen,
        multiselect=True,
        max_choices=MAX_COMPONENTS,
        allow_custom_value=True,
        label="Components",
        info="Click on cards, or type a hub id or a folder.",
        elem_id=f"{tab}components",
    )
    n_blocks = gr.Slider(
        1,
        depth,
        value=min(4, depth),
        step=1,
        label="Blocks",
        elem_id=f"{tab}blocks",
    )

    def click(names: list[str], event: gr.EventData) -> Any:
        try:
            return toggled(names, event.component)
        except ValueError as error:
            gr.Warning(str(error))
            return gr.skip()

    def choose(names: list[str], blocks: float) -> Any:
        deepest = catalogue.max_blocks(names)
        slider = gr.Slider(maximum=deepest, value=min(blocks, deepest))
        return cards_html(names), slider

    shown.click(click, components, components, **QUIETLY)
    components.change(choose, [components, n_blocks], [shown, n_blocks], **QUIETLY)
    return components, n_blocks


def strategy_input(
    tab: str = "", *, without: Collection[str] = (), value: str = "darts"
) -> gr.Dropdown:
    """Lay out the choice of the strategy.

    Args:
        tab: Beginning of the element's id.
        without: Strategies that are not offered.
        value: Strategy that is chosen at first.
    """
    return gr.Dropdown(
        [(label, name) for label, name in strategy_choices() if name not in without],
        value=value,
        label="Strategy",
        info="How the mixture weights are found.",
        elem_id=f"{tab}strategy",
    )


def projector_inputs() -> tuple[gr.Dropdown, gr.Dropdown]:
    """Lay out the kind of the projectors and their initialization."""
    with gr.Row():
        return (
            gr.Dropdown(list(PROJECTORS), value="linear", label="Projectors", min_width=120),
            gr.Dropdown(
                list(get_args(ProjectorInit)),
                value="aligned",
                label="Initialization",
                min_width=120,
            ),
        )


def name_input() -> gr.Textbox:
    """Lay out the name of the run."""
    return gr.Textbox(label="Run name", max_length=120, placeholder="optional")


def check_hybrid(components: Sequence[str], n_blocks: float) -> None:
    """Refuse what is known to be impossible before a run is started for it.

    Raises:
        ValueError, LookupError: The message is for the reader of the page.
    """
    for component in components:
        if component.startswith("zoo:"):
            zoo_path(component)
            Damage.of(component)
    deepest = catalogue.max_blocks(components)
    if n_blocks > deepest:
        raise ValueError(
            f"{n_blocks:g} blocks are too many: the shallowest component has {deepest} layers. "
            f"Choose {deepest} or fewer."
        )

"""The inputs that describe a hybrid and how its mixture weights are searched, on every tab."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, get_args

import gradio as gr

from manticore.components.damage import Damage
from manticore.components.zoo import zoo_path
from manticore.config.run import MAX_COMPONENTS, ProjectorInit
from manticore.names import PROJECTORS, STRATEGIES
from manticore.views import catalogue

from .cards import CHOOSE, cards_html
from .known import Known
from .page import ALL_AT_ONCE, QUIETLY
from .vocabularies import vocabularies_html


def strategy_choices() -> list[tuple[str, str]]:
    """(label, name) of every search strategy."""
    return [(f"{name}: {entry.about.rstrip('.')}", name) for name, entry in STRATEGIES.items()]


def component_inputs(known: Known, tab: str = "") -> tuple[gr.Dropdown, gr.Slider]:
    """Lay out which components are mixed, their cards, their tokenizers, and in how many blocks.

    Args:
        known: What is known of components.
        tab: Beginning of the elements' ids.
    """
    chosen = catalogue.default_components()
    depth = known.max_blocks(chosen)
    shown = gr.HTML(cards_html(chosen), js_on_load=CHOOSE, elem_id=f"{tab}cards", padding=False)
    tokens = gr.HTML(vocabularies_html(chosen, known), elem_id=f"{tab}vocabularies", padding=False)
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
            return catalogue.toggled(names, event.component)
        except ValueError as error:
            gr.Warning(str(error))
            return gr.skip()

    def choose(names: list[str], blocks: float) -> Iterator[Any]:
        for wait in _looks(names, known):
            cards = cards_html(names, known, wait=wait)
            words = vocabularies_html(names, known) if wait else ""
            yield cards, words, gr.Slider(value=min(blocks, known.max_blocks(names)))

    def limit(names: list[str], blocks: float) -> Any:
        deepest = known.max_blocks(names)
        return gr.Slider(maximum=deepest, value=min(blocks, deepest))

    shown.click(click, components, components, **QUIETLY)
    told = components.change(
        choose, [components, n_blocks], [shown, tokens, n_blocks], **ALL_AT_ONCE
    )
    # After the value: the browser may still send a larger one, which a lower limit would refuse.
    told.then(limit, [components, n_blocks], n_blocks, **ALL_AT_ONCE)
    return components, n_blocks


def _looks(names: Sequence[str], known: Known) -> list[bool]:
    """How cards are drawn: at once, and again after a look at those that were not looked at yet."""
    new = any(not name.startswith("zoo:") and known.facts(name) is None for name in names)
    return [False, True] if new else [True]


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

"""The tab that builds a hybrid: components with what they know, blocks, projectors."""

import html
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

import ipywidgets

from manticore.config.run import ProjectorInit
from manticore.names import PROJECTORS
from manticore.views.catalogue import (
    MAX_BLOCKS,
    bundled_facts,
    card_of,
    component_choices,
    default_components,
    facts_words,
    knowledge,
    max_blocks,
    toggled,
)
from manticore.views.plots.theme import component_colour, short_names

if TYPE_CHECKING:
    from manticore.views.notebook.explorer.cell import Explorer


class BuildTab(ipywidgets.VBox):
    """A button for each bundled component, a place for others, and the hybrid's shape.

    Args:
        explorer: The explorer that it belongs to.
    """

    def __init__(self, explorer: "Explorer") -> None:
        self._explorer = explorer
        self.components = default_components()
        self._cards = ipywidgets.HTML()
        self.buttons = {
            name: ipywidgets.ToggleButton(description=label) for label, name in component_choices()
        }
        self.other = ipywidgets.Text(
            placeholder="A hub id or a folder; press Enter to add it", continuous_update=False
        )
        self.other.layout.width = "320px"
        self.n_blocks = ipywidgets.IntSlider(4, 1, MAX_BLOCKS, description="Blocks")
        self.projector = ipywidgets.Dropdown(options=list(PROJECTORS), description="Projectors")
        self.projector_init = ipywidgets.Dropdown(
            options=list(get_args(ProjectorInit)), value="aligned", description="Initialization"
        )
        self.begin = ipywidgets.Button(description="Build", button_style="primary")
        for name, button in self.buttons.items():
            button.observe(lambda change, name=name: self._toggle(name, change["new"]), "value")
        self.other.observe(self._add, "value")
        self.begin.on_click(lambda _: self.build())
        super().__init__(
            [
                ipywidgets.HTML("<b>Which models shall become one?</b>"),
                ipywidgets.HBox([*self.buttons.values(), self.other], layout=_WRAP),
                self._cards,
                ipywidgets.HBox([self.n_blocks, self.projector, self.projector_init], layout=_WRAP),
                self.begin,
            ]
        )
        self._show()

    def build(self) -> None:
        """Build the hybrid that the tab describes; what is wrong is told."""
        given = {"projector": self.projector.value, "projector_init": self.projector_init.value}
        usual = {"projector": "linear", "projector_init": "aligned"}
        options = {name: value for name, value in given.items() if value != usual[name]}
        with suppress(ValueError, OSError):  # which the explorer has told
            self._explorer.build(self.components, self.n_blocks.value, **options)

    def show(self, components: Sequence[str], n_blocks: int) -> None:
        """Describe a hybrid.

        Args:
            components: Sources of its components.
            n_blocks: Number of its blocks.
        """
        self.components = list(components)
        self._show()
        self.n_blocks.value = n_blocks

    def _toggle(self, name: str, chosen: bool) -> None:
        if chosen == (name in self.components):
            return
        try:
            self.components = toggled(self.components, name)
        except ValueError as error:
            self._explorer.tell(str(error), problem=True)
        self._show()

    def _add(self, change: dict[str, Any]) -> None:
        name = change["new"].strip()
        if name and name not in self.components:
            self._toggle(name, True)
            self.other.value = ""

    def _show(self) -> None:
        for name, button in self.buttons.items():
            button.value = name in self.components
        self.n_blocks.max = max_blocks(self.components)
        self.begin.disabled = not self.components
        titles = short_names(self.components)
        cards = (
            _card(n, t, k) for k, (n, t) in enumerate(zip(self.components, titles, strict=True))
        )
        self._cards.value = f'<div class="mc-cards">{"".join(cards)}</div>'


_WRAP = ipywidgets.Layout(flex_flow="row wrap")


def _card(name: str, title: str, k: int) -> str:
    """What is known of a component."""
    facts, card = bundled_facts(name), card_of(name)
    said = (
        facts_words(facts, spoken=False) if facts else "It is looked up when the hybrid is built."
    )
    knows, numbers = knowledge(card) if card else ("", "")
    return (
        f'<div style="border-left:4px solid {component_colour(k)}" title="{html.escape(numbers)}">'
        f"<b>{html.escape(title)}</b><span>{html.escape(said)}</span>"
        f"<span>{html.escape(knows)}</span></div>"
    )

"""A hybrid that is mixed by hand in a cell: the diagram, and what the hybrid does meanwhile."""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from IPython import get_ipython

from manticore.data import TextData, load_text
from manticore.evaluate.by_hand import continuing_tokenizer
from manticore.hybrid.outline import outline
from manticore.views.diagram import MODULE, Reading, scene_of
from manticore.views.diagram.by_hand import READ_TOKENS, answer, beginnings, ends_of
from manticore.views.diagram.of_run import hint_at_rest
from manticore.views.diagram.scene import PROMPT, TEXT
from manticore.views.hybrid_html import hybrid_html
from manticore.views.notebook.widget import Widget, own_source
from manticore.views.wording import explain

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

Rows = list[list[float]]


class HybridWidget(Widget):
    """The diagram of a hybrid, whose mixture weights are dragged: the hybrid changes with it.

    Mixture weights that a cell sets move the lanes when the cell has run. "Back to what was found"
    is back to the mixture weights, or the router, that the hybrid had when this was made.

    Args:
        hybrid: The hybrid with its tokenizer.
        data: Text in its tokens; perplexity is measured on the beginning of the held-out part.
        prompt: Beginning that is continued; not empty.
        scene: Scene of the run that made the hybrid, with its way there; a plain one if None.
    """

    _esm = MODULE + own_source("hybrid_widget.js")
    scene = traitlets.Dict().tag(sync=True)
    mixed = traitlets.List(default_value=None, allow_none=True).tag(sync=True)
    """(N, K) mixture weights, if others than those that were found."""

    def __init__(
        self,
        hybrid: "ManticoreForCausalLM",
        data: TextData,
        prompt: str,
        scene: dict[str, Any] | None = None,
    ) -> None:
        self.hybrid, self._prompt, self._ids = hybrid, prompt, beginnings(data)
        self._about = f"measured on {data.name}, held out"
        self._found = hybrid.mixture, hybrid.config.router, _rows(hybrid)
        self._ends = ends_of(hybrid, self._ids)
        scene = scene or scene_of(
            outline(hybrid),
            self._found[-1],
            Reading(prompt),
            editable=True,
            hint=hint_at_rest(len(hybrid.components)),
        )
        super().__init__(scene=scene | {"id": uuid.uuid4().hex, "measured": True})
        self.on_msg(self._answer)
        if (shell := get_ipython()) is not None:
            shell.events.register("post_run_cell", self._look)

    def describe(self) -> str:
        """The widget in a line."""
        return f"The diagram of {self.hybrid!r}"

    def still(self) -> str:
        """The hybrid's components and mixture weights as a table."""
        return hybrid_html(self.hybrid)

    @property
    def mixture_weights(self) -> torch.Tensor:
        """(N, K) mixture weights of the hybrid now."""
        return self.hybrid.mixture_weights

    def close(self) -> None:
        """Take the diagram away; the hybrid stays as it is."""
        shell = get_ipython()
        if shell is not None and self._look in shell.events.callbacks["post_run_cell"]:
            shell.events.unregister("post_run_cell", self._look)
        super().close()

    def mix(self, weights: Sequence[Sequence[float]] | None) -> None:
        """Give the hybrid other mixture weights.

        Args:
            weights: (N, K) mixture weights; those that were found if None.

        Raises:
            ValueError: Wrong mixture weights.
        """
        mixture, router, rows = self._found
        if weights is not None:
            self.hybrid.set_mixture_weights(weights)
        elif router is None:
            self.hybrid.set_mixture_weights(rows)
        else:
            self.hybrid.mixture, self.hybrid.config.router = mixture, router
        self._look()

    def _look(self, *_: Any) -> None:
        """Show the mixture weights that the hybrid has now."""
        is_found = self.hybrid.mixture is self._found[0] and (
            self.hybrid.is_routed or _rows(self.hybrid) == self._found[-1]
        )
        self.mixed = None if is_found else _rows(self.hybrid)

    def _answer(self, _widget: Any, question: dict[str, Any], _buffers: Any) -> None:
        """Mix as the front end asks, and tell it what the hybrid does then."""
        try:
            self.mix(question["weights"])
            told = answer(self.hybrid, self._ids, self._prompt, None, self._ends, self._about)
        except (ValueError, RuntimeError, TypeError) as error:
            told = {"error": explain(error)}
        self.send({**told, "number": question["number"]})


def _rows(hybrid: "ManticoreForCausalLM") -> Rows:
    return hybrid.mixture_weights.tolist()


def mix(
    hybrid: "ManticoreForCausalLM",
    text: TextData | str | None = None,
    prompt: str = PROMPT,
    scene: dict[str, Any] | None = None,
) -> HybridWidget:
    """The diagram of a hybrid, to be mixed by hand in a notebook.

    Args:
        hybrid: The hybrid with its tokenizer.
        text: What perplexity is measured on, or its source as for `load_text`; the bundled stories
            in English and Spanish if None.
        prompt: Beginning that is continued.
        scene: Scene of the run that made the hybrid; a plain one if None.

    Raises:
        ValueError: The hybrid has no tokenizer, or the prompt is empty.
        OSError: The text cannot be read.
    """
    tokenizer = continuing_tokenizer(hybrid, prompt)
    if not isinstance(text, TextData):
        text = load_text(text or TEXT, tokenizer=tokenizer, seq_len=READ_TOKENS)
    return HybridWidget(hybrid, text, prompt, scene)

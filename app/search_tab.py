"""The tab that builds a hybrid, starts its search and watches it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import gradio as gr
from gradio.components import Component

from manticore.config.search import AWAITED_SEQUENCES, SearchConfig
from manticore.names import STRATEGIES
from manticore.runs import RunConfig
from manticore.views import catalogue

from . import after_search, hybrid_form
from .code import code_of_form
from .estimates import estimate_line
from .page import Page
from .presets import Presets
from .run_panel import RunPanel, View
from .texts import Texts
from .upload import upload_button

VIEW = View("search", "Start", lambda stage: stage != "program")
_DEFAULTS = SearchConfig.model_validate({})


@dataclass(frozen=True)
class Form:
    """The inputs that describe a run, in the order of `config_from`."""

    components: gr.Dropdown
    n_blocks: gr.Slider
    text: gr.Dropdown
    steps: gr.Slider
    strategy: gr.Dropdown
    projector: gr.Dropdown
    projector_init: gr.Dropdown
    name: gr.Textbox
    seq_len: gr.Slider
    batch_size: gr.Slider
    mixture_lr: gr.Number
    projector_lr: gr.Number
    component_lr: gr.Number
    router_threshold: gr.Number
    head: gr.Dropdown
    seed: gr.Number

    @property
    def inputs(self) -> list[Component]:
        """All inputs, in order."""
        return list(self.__dict__.values())


def config_from(
    texts: Texts,
    components: Sequence[str],
    n_blocks: float,
    text: str,
    steps: float,
    strategy: str,
    projector: str,
    projector_init: str,
    name: str,
    seq_len: float,
    batch_size: float,
    mixture_lr: float,
    projector_lr: float,
    component_lr: float,
    router_threshold: float,
    head: str,
    seed: float,
) -> RunConfig:
    """The run that the form describes.

    Raises:
        ValueError: A value is impossible; the message is for the reader of the page.
        FileNotFoundError: There is no such text.
    """
    hybrid_form.check_hybrid(components, n_blocks)
    routed = "router" in STRATEGIES.find(strategy).options
    router = {"threshold": router_threshold, "fit_sequences": AWAITED_SEQUENCES}
    options = {
        "steps": int(steps),
        "batch_size": batch_size,
        "strategy": strategy,
        **({"mixture_lr": mixture_lr} if mixture_lr else {}),
        **({"router": router} if routed else {}),
        "projector_lr": projector_lr,
        "component_lr": component_lr,
        "eval_every": max(1, int(steps) // 5),
        "eval_batches": 8,
        "checkpoint_every": max(1, int(steps) // 10),
    }
    return RunConfig.model_validate(
        {
            "name": (name or "").strip() or None,
            "components": tuple(components),
            "n_blocks": n_blocks,
            "projector": projector,
            "projector_init": projector_init,
            "head": head,
            "data": {"source": texts.source(text), "seq_len": int(seq_len)},
            "options": options,
            "seed": seed,
        }
    )


def build(page: Page) -> None:
    """Lay the tab out and wire it.

    Args:
        page: What the tabs share.
    """
    with gr.Row():
        with gr.Column(scale=4, min_width=340):
            start = gr.Button("Start", variant="primary", elem_id="start", render=False)
            presets = Presets()
            estimate = gr.HTML(elem_id="estimate", padding=False, render=False)
            form = lay_out(start, estimate, page)
            presets.fill_in(vars(form))
            estimate_line(page, estimate, form.inputs, partial(config_from, page.texts))
            after_search.search_again(page, vars(form))
            code_of_form(form.inputs, partial(config_from, page.texts), "form-code")
        with gr.Column(scale=9, min_width=480):
            after_search.build(page)
            panel = RunPanel(page, VIEW)
    panel.start_with(start, form.inputs, partial(config_from, page.texts))


def lay_out(start: gr.Button, estimate: gr.HTML, page: Page) -> Form:
    """Lay out the inputs, with the button above those that few will touch.

    Args:
        start: The button, not rendered yet.
        estimate: What the run will take, not rendered yet.
        page: What the tabs share.
    """
    texts = page.texts
    components, n_blocks = hybrid_form.component_inputs(page.known)
    text = gr.Dropdown(
        catalogue.TEXTS,
        value="bundled:stories-mixed",
        allow_custom_value=True,
        label="Text",
        info=texts.hint,
        elem_id="text",
    )
    if texts.uploads is not None:
        upload_button(texts.uploads, text)
    steps = gr.Slider(10, 1000, value=40, step=10, label="Steps", elem_id="steps")
    strategy = hybrid_form.strategy_input(value="routed")
    projector, projector_init = hybrid_form.projector_inputs()
    estimate.render()
    start.render()
    with gr.Accordion("Advanced", open=False):
        name = hybrid_form.name_input()
        with gr.Row():
            seq_len = gr.Slider(16, 512, value=128, step=16, label="Tokens per sequence")
            batch_size = gr.Slider(1, 32, value=4, step=1, label="Sequences per step")
        with gr.Row():
            mixture_lr = gr.Number(
                0, label="Mixture learning rate", info="0 = the default of the strategy"
            )
            projector_lr = gr.Number(_DEFAULTS.projector_lr, label="Projector learning rate")
            component_lr = gr.Number(_DEFAULTS.component_lr, label="Component learning rate")
        with gr.Row():
            router_threshold = gr.Number(
                0.3,
                minimum=0,
                maximum=0.99,
                label="Router threshold",
                info="Used by routed: a smaller weight at a token counts as 0",
            )
            head = gr.Dropdown(
                [("Logits", "mixed"), ("Probabilities", "mixture"), ("A new head", "new")],
                value="mixed",
                label="Heads",
                info="What of the components' heads is mixed",
            )
            seed = gr.Number(0, precision=0, minimum=0, label="Seed")

    return Form(
        components,
        n_blocks,
        text,
        steps,
        strategy,
        projector,
        projector_init,
        name,
        seq_len,
        batch_size,
        mixture_lr,
        projector_lr,
        component_lr,
        router_threshold,
        head,
        seed,
    )

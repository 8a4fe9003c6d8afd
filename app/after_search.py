"""What follows a search, one click from its end: fine-tune, LoRA, evaluate, and search again."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from manticore.config.search import SearchConfig
from manticore.runs import RunConfig, RunError

from .next_steps import TUNING, continue_with
from .page import ALL_AT_ONCE, QUIETLY, Page, user_of, warn

TICK = 2.0
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "Fine-tune": ("finetune", TUNING),
    "Fine-tune with LoRA": ("finetune", {**TUNING, "lora": {"rank": 8}}),
    "Evaluate": ("evaluate", {}),
}
"""Stage and options by the label of the button."""


def build(page: Page) -> None:
    """Lay the buttons out and wire them; they are seen where the shown run is done.

    Args:
        page: What the tabs share.
    """
    with gr.Row(visible=False, elem_id="after-search") as row:
        gr.HTML("<b>Continue with this hybrid</b> on the same text", padding=False)
        buttons = {label: gr.Button(label, size="sm", min_width=120) for label in STEPS}

    def is_done(run_id: str | None) -> bool:
        run = page.runs.find(run_id)
        return run is not None and run.status.state == "done" and bool(run.config.data)

    for event in (page.shown.change, page.looks.noticed(TICK, is_done, [page.shown])):
        event(lambda run_id: gr.Row(visible=is_done(run_id)), page.shown, row, **ALL_AT_ONCE)
    for label, button in buttons.items():
        start = _starting(page, *STEPS[label])
        button.click(start, page.shown, page.shown, api_visibility="private")


def _starting(page: Page, stage: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """Starts a stage on the hybrid and the text of the shown run, and shows it."""

    def start(run_id: str | None, request: gr.Request) -> Any:
        run = page.runs.find(run_id)
        try:
            if run is None:
                raise LookupError("Choose a run that is done first.")
            source = str(run.config.data["source"])
            made = continue_with(stage, options, run, source, user_of(request), page.at_once)
        except (RunError, LookupError, ValueError, OSError, ModuleNotFoundError) as error:
            warn(error, "Not started")
            return gr.skip()
        return gr.Dropdown(choices=page.runs.choices(), value=made.id)

    return start


def search_again(page: Page, form: Mapping[str, Component]) -> None:
    """Lay out a button that fills a form in with the settings of the shown run.

    Args:
        page: What the tabs share.
        form: Inputs by name, as `settings_of` names them.
    """
    again = gr.Button("Take the settings of the shown run", size="sm", elem_id="search-again")

    def fill(run_id: str | None) -> list[Any]:
        run = page.runs.find(run_id)
        if run is None or not isinstance(run.config.options, SearchConfig) or not run.config.data:
            gr.Info("Choose a run of a search first: its settings can be changed here.")
            return [gr.skip() for _ in form]
        settings = settings_of(run.config)
        return [settings[name] for name in form]

    again.click(fill, page.shown, list(form.values()), **QUIETLY)


def settings_of(config: RunConfig) -> dict[str, Any]:
    """The values of the search form that describe a run.

    Args:
        config: Configuration of a search.
    """
    options = config.options
    return {
        "components": list(config.components),
        "n_blocks": config.n_blocks,
        "text": config.data["source"],
        "steps": options.steps,
        "strategy": options.strategy,
        "projector": config.projector,
        "projector_init": config.projector_init,
        "name": "",
        "seq_len": config.data.get("seq_len", 256),
        "batch_size": options.batch_size,
        "mixture_lr": options.mixture_lr,
        "projector_lr": options.projector_lr,
        "component_lr": options.component_lr,
        "router_threshold": options.router.threshold,
        "head": config.head,
        "seed": config.seed,
    }

"""The tab that programs a hybrid: mixture weights from weighted MAD tasks."""

from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from manticore.names import TASKS
from manticore.runs.programmed import keep_weights, programmed_before, search_more

from . import next_steps
from .code import code_of_form
from .estimates import estimate_line
from .page import ALL_AT_ONCE, QUIETLY, Page, user_of, warn
from .playing import TELL_DIAGRAM, TICK, kept_name, look, play, played_for, stamp
from .program_form import Form, config_from, lay_out
from .run_panel import RunPanel, View, start
from .skills import Cards, skill_cards, weights_of

HOW = (
    "Six small synthetic tasks, each a **skill**. Each one finds mixture weights of its own, and "
    "the hybrid gets their weighted mean. How much should each skill count?"
)
VIEW = View("program", "Search", lambda stage: stage == "program", "program-")


def build(page: Page) -> None:
    """Lay the tab out and wire it.

    Args:
        page: What the tabs share.
    """
    seen = gr.State(None)
    with gr.Row(elem_id="program-top"):
        with gr.Column(scale=7, min_width=320):
            notice = gr.HTML(elem_id="program-notice", padding=False)
            picture = gr.HTML(elem_id="program-picture", padding=False)
            gr.Markdown(HOW, elem_id="skills-how")
            cards = skill_cards()
        with gr.Column(scale=4, min_width=300):
            offer = gr.Button("Play its results", variant="primary", visible=False, elem_id="offer")
            begin = gr.Button("Search", variant="primary", elem_id="program")
            keep = gr.Button(
                "Keep these mixture weights",
                variant="primary",
                interactive=False,
                elem_id="keep",
            )
            estimate = gr.HTML(elem_id="program-estimate", padding=False)
            form = lay_out(cards, page.known)
            estimate_line(page, estimate, form.inputs, config_from)
            code_of_form(form.inputs, config_from, "program-form-code")
    block, words, text = next_steps.lay_out(page)
    RunPanel(page, VIEW)

    shown = [page.shown, form.components, form.n_blocks]
    changed = [picture, begin, keep]
    _follow(page, form, cards, [notice, offer, block, words, text], seen)
    _play(page, shown, cards, changed, seen)

    # Gradio hands the request to the parameter that is annotated so.
    def search_now(run_id: str | None, request: gr.Request, *values: Any) -> Any:
        return _start(page, run_id, user_of(request), *values)

    def keep_now(run_id: str | None, request: gr.Request, *values: Any) -> Any:
        return _keep(page, run_id, user_of(request), *values)

    begin.click(search_now, [page.shown, *form.inputs], page.shown, api_visibility="private")
    keep.click(keep_now, [*shown, *cards.sliders], page.shown, api_visibility="private")
    offer.click(partial(_offer, page), shown[1:], page.shown, **ALL_AT_ONCE)


def _follow(page: Page, form: Form, cards: Cards, told: list[Block], seen: gr.State) -> None:
    """Have the tab follow the run that is shown, and the hybrid that the form describes."""

    def follow(run_id: str | None, *form_and_seen: Any) -> Any:
        looked = look(page.runs, run_id, *form_and_seen)
        if not isinstance(looked, list):
            return looked
        run = page.runs.find(run_id)
        steps = next_steps.show(run if run and run.config.stage == "program" else None)
        return [*looked[:-1], *steps, looked[-1]]

    hybrid = [form.components, form.n_blocks]
    inputs = [page.shown, *hybrid, seen, *cards.sliders]
    outputs = [*hybrid, *cards.sliders, *cards.states, *told, seen]
    changed = (page.shown.change, form.components.change, form.n_blocks.change)
    noticed = page.looks.noticed(TICK, partial(stamp, page.runs), [page.shown])
    for event in (*changed, noticed):
        event(follow, inputs, outputs, **ALL_AT_ONCE)


def _play(
    page: Page, shown: list[Component], cards: Cards, changed: list[Component], seen: gr.State
) -> None:
    """Have the sliders change the mixture weights at once, here and in the diagram.

    What is new of the run comes in by the same event: a look that began before a slider moved would
    otherwise take the movement back when it ends.
    """
    mixed = gr.JSON(visible=False)
    gr.on(
        [*(slider.change for slider in cards.sliders), seen.change],
        partial(play, page.runs),
        [*shown, *cards.sliders],
        [*changed, mixed],
        trigger_mode="always_last",
        **ALL_AT_ONCE,
    ).then(None, mixed, None, js=TELL_DIAGRAM, **QUIETLY)


def _start(page: Page, run_id: str | None, user: str | None, *values: Any) -> Any:
    """Search what the form describes; of a hybrid that is played, only the skills that it lacks."""
    try:
        config = config_from(*values)
        played = played_for(page.runs.find(run_id), list(config.components), config.n_blocks)
        weights = weights_of(values[-len(TASKS) :])
        if played is not None and played.missing(weights):
            run = search_more(played.run, weights, user, page.at_once)
        else:
            run = start(page, config, user)
    except (ValueError, LookupError, OSError, ModuleNotFoundError) as error:
        warn(error, "Not started")
        return gr.skip()
    return gr.Dropdown(choices=page.runs.choices(), value=run.id)


def _keep(
    page: Page,
    run_id: str | None,
    user: str | None,
    components: list[str],
    n_blocks: float,
    *values: float,
) -> Any:
    """Make a finished run with the mixture weights of the sliders."""
    played = played_for(page.runs.find(run_id), components, n_blocks)
    try:
        if played is None:
            raise LookupError("There are no results to keep: search the skills first.")
        weights = weights_of(values)
        run = keep_weights(played.run, weights, kept_name(played, weights), user)
    except (ValueError, LookupError, OSError) as error:
        warn(error, "Not kept")
        return gr.skip()
    gr.Info("Kept as a run: chat with it, or fine-tune it below.")
    return gr.Dropdown(choices=page.runs.choices(), value=run.id)


def _offer(page: Page, components: list[str], n_blocks: float) -> Any:
    """Show the results that the hybrid of the form has already."""
    run = programmed_before(components, int(n_blocks), page.runs.root)
    if run is None:
        return gr.skip()
    return gr.Dropdown(choices=page.runs.choices(), value=run.id)

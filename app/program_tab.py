"""The tab that programs a hybrid: mixture weights from weighted MAD tasks."""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from manticore.config.programming import ProgramConfig
from manticore.names import STRATEGIES, TASKS
from manticore.runs import RunConfig
from manticore.runs.programmed import keep_weights, programmed_before, search_more

from . import hybrid_form, next_steps
from .code import code_of_form
from .page import ALL_AT_ONCE, QUIETLY, Page, user_of, warn
from .playing import TELL_DIAGRAM, TICK, Played, kept_name, look, play
from .run_panel import RunPanel, View, start
from .skills import Cards, skill_cards, weights_of

HOW = (
    "Six small synthetic tasks, each a **skill**. Each one finds mixture weights of its own, and "
    "the hybrid gets their weighted mean. How much should each skill count?"
)
VIEW = View("program", "Search", lambda stage: stage == "program", "program-")
_DEFAULTS = ProgramConfig.model_validate({})


@dataclass(frozen=True)
class Form:
    """The inputs that describe a run, in the order of `config_from`."""

    components: gr.Dropdown
    n_blocks: gr.Slider
    skills: list[gr.Slider]
    preset: gr.Radio
    steps: gr.Slider
    strategy: gr.Dropdown
    combine: gr.Radio
    from_scratch: gr.Checkbox
    target_length: gr.Number
    lengths: gr.Textbox
    name: gr.Textbox
    projector: gr.Dropdown
    projector_init: gr.Dropdown
    batch_size: gr.Slider
    mixture_lr: gr.Number
    seed: gr.Number

    @property
    def inputs(self) -> list[Component]:
        """All inputs, those of the tasks last."""
        others = [value for name, value in self.__dict__.items() if name != "skills"]
        return [*others, *self.skills]


def config_from(
    components: list[str],
    n_blocks: float,
    preset: str,
    steps: float,
    strategy: str,
    combine: str,
    from_scratch: bool,
    target_length: float | None,
    lengths: str,
    name: str,
    projector: str,
    projector_init: str,
    batch_size: float,
    mixture_lr: float,
    seed: float,
    *skills: float,
) -> RunConfig:
    """The run that the form describes, with a weight for each of `TASKS`, 0 = not used.

    Raises:
        ValueError: A value is impossible; the message is for the reader of the page.
    """
    hybrid_form.check_hybrid(components, n_blocks)
    tasks = {task: skill for task, skill in zip(TASKS, skills, strict=True) if skill > 0}
    if not tasks:
        raise ValueError("No task is chosen: move at least one task weight above 0.")
    several = _lengths(lengths) if target_length else ()
    if target_length and len(several) < 2:
        raise ValueError(
            "A target length needs tasks of two lengths or more: enter them, such as 32, 64, 128, "
            "or leave the target length at 0."
        )
    options = {
        "tasks": tasks,
        "preset": preset,
        "steps": int(steps),
        "strategy": strategy,
        "combine": combine,
        "from_scratch": from_scratch,
        "target_length": target_length or None,
        "lengths": several,
        "batch_size": batch_size,
        **({"mixture_lr": mixture_lr} if mixture_lr else {}),
        "eval_every": max(1, int(steps) // 5),
        "checkpoint_every": max(1, int(steps) // 3),
    }
    return RunConfig.model_validate(
        {
            "stage": "program",
            "name": (name or "").strip() or None,
            "components": tuple(components),
            "n_blocks": n_blocks,
            "projector": projector,
            "projector_init": projector_init,
            "data": {},
            "options": options,
            "seed": seed,
        }
    )


def _lengths(text: str) -> tuple[int, ...]:
    words = re.split(r"[\s,;]+", (text or "").strip())
    for word in filter(None, words):
        if not word.isdecimal():
            raise ValueError(
                f"{word!r} is not a length: enter numbers of tokens separated by commas, such as "
                "32, 64, 128."
            )
    return tuple(int(word) for word in words if word)


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
            form = _form(cards)
            code_of_form(form.inputs, config_from, "program-form-code")
    block, words, text = next_steps.lay_out(page)
    RunPanel(page, VIEW)

    shown = [page.shown, form.components, form.n_blocks]
    changed = [picture, begin, keep]
    _follow(page, form, cards, [notice, offer, *changed, block, words, text], seen)
    _play(page, shown, cards, changed)

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
    for event in (*changed, gr.Timer(TICK).tick):
        event(follow, inputs, outputs, **ALL_AT_ONCE)


def _play(page: Page, shown: list[Component], cards: Cards, changed: list[Component]) -> None:
    """Have the sliders change the mixture weights at once, here and in the diagram."""
    mixed = gr.JSON(visible=False)
    gr.on(
        [slider.change for slider in cards.sliders],
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
        played = Played.of(page.runs.find(run_id), list(config.components), config.n_blocks)
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
    played = Played.of(page.runs.find(run_id), components, n_blocks)
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


def _form(cards: Cards) -> Form:
    components, n_blocks = hybrid_form.component_inputs("program-")
    with gr.Accordion("More", open=False):
        return Form(components, n_blocks, cards.sliders, *_search(), *_length(), *_advanced())


def _search() -> tuple[gr.Radio, gr.Slider, gr.Dropdown, gr.Radio, gr.Checkbox]:
    with gr.Row():
        preset = gr.Radio(
            [("Quick", "quick"), ("Baseline", "baseline")],
            value="quick",
            label="Task size",
            info="Quick takes minutes.",
            min_width=150,
            elem_id="program-preset",
        )
        combine = gr.Radio(
            [("Weighted mean", "mean"), ("Best task", "best")],
            value=_DEFAULTS.combine,
            label="Combine",
            info="How the tasks' mixture weights become one.",
            min_width=150,
            elem_id="program-combine",
        )
    steps = gr.Slider(
        10,
        1000,
        value=_DEFAULTS.steps,
        step=10,
        label="Steps per task",
        elem_id="program-steps",
    )
    unfit = [name for name, entry in STRATEGIES.items() if not entry.programs]
    strategy = hybrid_form.strategy_input("program-", without=unfit)
    from_scratch = gr.Checkbox(
        _DEFAULTS.from_scratch,
        label="Search on untrained blocks",
        info="The tasks then test the architectures rather than what they have learned.",
        elem_id="program-from-scratch",
    )
    return preset, steps, strategy, combine, from_scratch


def _length() -> tuple[gr.Number, gr.Textbox]:
    gr.Markdown(
        "With a target length (tokens per sequence of your text), every task is searched at "
        "several lengths, and the mixture weights are fitted for the target."
    )
    with gr.Row():
        target = gr.Number(
            0,
            precision=0,
            minimum=0,
            label="Target length",
            info="0 = not used",
            min_width=130,
        )
        lengths = gr.Textbox(
            "32, 64, 128", label="Task lengths", info="One search each", min_width=130
        )
    return target, lengths


def _advanced() -> tuple[gr.Textbox, gr.Dropdown, gr.Dropdown, gr.Slider, gr.Number, gr.Number]:
    name = hybrid_form.name_input()
    projector, projector_init = hybrid_form.projector_inputs()
    batch_size = gr.Slider(1, 128, value=_DEFAULTS.batch_size, step=1, label="Examples per step")
    with gr.Row():
        mixture_lr = gr.Number(
            0, label="Mixture learning rate", info="0 = the default of the strategy"
        )
        seed = gr.Number(0, precision=0, minimum=0, label="Seed")
    return name, projector, projector_init, batch_size, mixture_lr, seed

"""The form of the tab that programs a hybrid, and the run that it describes."""

import re
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from manticore.config.programming import ProgramConfig
from manticore.names import STRATEGIES, TASKS
from manticore.runs import RunConfig

from . import hybrid_form
from .known import Known
from .skills import Cards

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


def lay_out(cards: Cards, known: Known) -> Form:
    """Lay out the inputs but those of the tasks.

    Args:
        cards: The cards of the tasks, with their sliders.
        known: What is known of components.
    """
    components, n_blocks = hybrid_form.component_inputs(known, "program-")
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

"""The tab that programs a hybrid: mixture weights from MAD tasks, weighted as skills."""

import re
from dataclasses import dataclass
from typing import Any

import gradio as gr

from manticore.config.programming import ProgramConfig
from manticore.names import TASKS
from manticore.runs import RunConfig
from manticore.views.wording import short_task

from . import hybrid_form
from .run_panel import RunPanel
from .watching import Watcher

HOW = (
    "Mixture weights without a text: they are searched on small synthetic tasks, then combined. "
    "How much should each skill count?"
)
SKILLS = {"in-context-recall": 1.0, "memorization": 0.5}
_DEFAULTS = ProgramConfig()


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
    def inputs(self) -> list[gr.components.Component]:
        """All of them, the skills last."""
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
    """The run that the form describes; a skill for each of `TASKS`, 0 for one that is not used.

    Raises:
        ValueError: a value is impossible, in words for the reader of the page.
    """
    hybrid_form.check_hybrid(components, n_blocks)
    tasks = {task: skill for task, skill in zip(TASKS, skills, strict=True) if skill > 0}
    if not tasks:
        raise ValueError("No task is chosen: move at least one skill above 0.")
    lengths = _lengths(lengths) if target_length else ()
    if target_length and len(lengths) < 2:
        raise ValueError(
            "Mixture weights for a target length need tasks of two lengths or more: give them, "
            "such as 32, 64, 128, or leave the target length at 0."
        )
    steps = int(steps)
    return RunConfig(
        stage="program",
        name=(name or "").strip() or None,
        components=tuple(components),
        n_blocks=n_blocks,
        projector=projector,
        projector_init=projector_init,
        data={},
        program=ProgramConfig(
            tasks=tasks,
            preset=preset,
            steps=steps,
            strategy=strategy,
            combine=combine,
            from_scratch=from_scratch,
            target_length=target_length or None,
            lengths=lengths,
            batch_size=batch_size,
            **({"mixture_lr": mixture_lr} if mixture_lr else {}),
            eval_every=max(1, steps // 5),
            checkpoint_every=max(1, steps // 3),
        ),
        seed=seed,
    )


def _lengths(text: str) -> tuple[int, ...]:
    words = re.split(r"[\s,;]+", (text or "").strip())
    for word in filter(None, words):
        if not word.isdecimal():
            raise ValueError(
                f"{word!r} is no length: give numbers of tokens with commas between, such as "
                "32, 64, 128"
            )
    return tuple(int(word) for word in words if word)


def build(watcher: Watcher, shown: gr.Dropdown) -> None:
    """Lay the tab out and wire it; arguments as for the search tab."""
    with gr.Row():
        with gr.Column(scale=4, min_width=340):
            start = gr.Button("Program", variant="primary", elem_id="program", render=False)
            form = _form(start)
        with gr.Column(scale=9, min_width=480):
            panel = RunPanel(watcher, shown, programming=True)
    panel.start_with(start, form.inputs, config_from)


def _form(start: gr.Button) -> Form:
    components, n_blocks = hybrid_form.component_inputs("program-")
    gr.Markdown(HOW, elem_id="skills-how")
    skills = _skills()
    with gr.Accordion("What the tasks ask", open=False):
        gr.Markdown(
            "\n".join(f"- **{short_task(name)}**: {task.about}" for name, task in TASKS.items())
        )
    with gr.Row():
        preset = gr.Radio(
            [("Quick", "quick"), ("Baseline", "baseline")],
            value="quick",
            label="Size of the tasks",
            info="Quick takes minutes",
            min_width=150,
            elem_id="program-preset",
        )
        combine = gr.Radio(
            [("Mean, by skill", "mean"), ("Best task", "best")],
            value=_DEFAULTS.combine,
            label="Combine",
            info="Into one mixture",
            min_width=150,
            elem_id="program-combine",
        )
    steps = gr.Slider(
        10,
        1000,
        value=_DEFAULTS.steps,
        step=10,
        label="Steps of each task",
        elem_id="program-steps",
    )
    strategy = hybrid_form.strategy_input("program-", fixed=False)
    from_scratch = gr.Checkbox(
        _DEFAULTS.from_scratch,
        label="Search on untrained blocks",
        info="Of the same shapes, with projectors fitted to them: asks the architectures, not what "
        "they have learned",
        elem_id="program-from-scratch",
    )
    start.render()
    basics = [components, n_blocks, skills, preset, steps, strategy, combine, from_scratch]
    return Form(*basics, *_length(), *_advanced())


def _skills() -> list[gr.Slider]:
    """A slider for each task, two in a row."""
    sliders = []
    tasks = list(TASKS)
    for pair in (tasks[i : i + 2] for i in range(0, len(tasks), 2)):
        with gr.Row():
            sliders += [
                gr.Slider(
                    0,
                    1,
                    value=SKILLS.get(task, 0.0),
                    step=0.05,
                    label=short_task(task).capitalize(),
                    min_width=140,
                    buttons=[],
                    elem_classes="skill",
                    elem_id=f"skill-{task}",
                )
                for task in pair
            ]
    return sliders


def _length() -> tuple[gr.Number, gr.Textbox]:
    with gr.Accordion("For a length of text", open=False):
        gr.Markdown(
            "With a target length, the tokens of your text's sequences, every task is searched at "
            "several lengths, and the mixture weights are those fitted for the target."
        )
        with gr.Row():
            target = gr.Number(
                0,
                precision=0,
                minimum=0,
                label="Target length",
                info="0: no matter",
                min_width=130,
            )
            lengths = gr.Textbox(
                "32, 64, 128", label="Lengths of the tasks", info="Each one a search", min_width=130
            )
    return target, lengths


def _advanced() -> list[Any]:
    with gr.Accordion("Advanced", open=False):
        name = hybrid_form.name_input()
        projector, projector_init = hybrid_form.projector_inputs()
        batch_size = gr.Slider(
            1, 128, value=_DEFAULTS.batch_size, step=1, label="Examples per step"
        )
        with gr.Row():
            mixture_lr = gr.Number(0, label="Mixture learning rate", info="0: the strategy's own")
            seed = gr.Number(0, precision=0, minimum=0, label="Seed")
    return [name, projector, projector_init, batch_size, mixture_lr, seed]

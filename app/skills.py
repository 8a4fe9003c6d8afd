"""The six skills on the page: a weight for each, what it asks, and an example made live."""

import html

import gradio as gr

from manticore.names import TASKS
from manticore.tasks.task import find_task
from manticore.views.wording import short_task
from manticore.views.worked_example import worked_example_html

from .page import QUIETLY

SKILLS = {"in-context-recall": 1.0, "memorization": 0.5}
"""Weights at first; of the other tasks 0."""


def skill_inputs() -> list[gr.Slider]:
    """Lay out a slider for each task, two in a row, and below them what each one asks."""
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
    with gr.Accordion("What each task asks, with an example", open=False):
        shown = gr.HTML(examples_html(0), padding=False, elem_id="worked-examples")
        number = gr.State(0)
        another = gr.Button("Other examples", size="sm", elem_id="other-examples")
        another.click(
            lambda seed: (examples_html(seed + 1), seed + 1), number, [shown, number], **QUIETLY
        )
    return sliders


def examples_html(seed: int) -> str:
    """Every task with its question and an example that its own generator draws.

    Args:
        seed: Random seed.
    """
    about = '<div class="faint">Above: what the model reads. Below: what it has to answer.</div>'
    return about + "".join(
        f'<div class="worked"><b>{html.escape(short_task(name).capitalize())}</b> '
        f"{html.escape(task.about)}{_example(name, seed)}</div>"
        for name, task in TASKS.items()
    )


def _example(name: str, seed: int) -> str:
    """A worked example; nothing for a task of somebody's own that does not explain its tokens."""
    return worked_example_html(name, seed) if find_task(name).tokens else ""

"""The skills on the page: a card for each MAD task, with its weight, its state and an example."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from manticore.names import TASKS
from manticore.tasks.task import find_task
from manticore.views.skills import MIXES, SKILLS, skill_html
from manticore.views.wording import short_task
from manticore.views.worked_example import worked_example_html

from .page import QUIETLY


@dataclass(frozen=True)
class Cards:
    """What the cards of all tasks show, in the order of `TASKS`.

    Attributes:
        sliders: Weight of each task.
        states: How well each task is done.
    """

    sliders: list[gr.Slider]
    states: list[gr.HTML]


def skill_cards() -> Cards:
    """Lay out the buttons for all weights at once, and a card for each task."""
    with gr.Row(elem_id="skill-mixes"):
        buttons = [gr.Button(label, size="sm", min_width=90) for label in MIXES]
    sliders, states, examples = [], [], []
    tasks = list(TASKS)
    for pair in (tasks[i : i + 2] for i in range(0, len(tasks), 2)):
        with gr.Row():
            for task in pair:
                with gr.Column(elem_classes="skill-card", min_width=270):
                    sliders.append(_slider(task))
                    states.append(gr.HTML(skill_html(None), padding=False))
                    examples.append(gr.HTML(example_html(task), padding=False))
    number = gr.State(0)
    another = gr.Button("Show other examples", size="sm", elem_id="other-examples")
    another.click(
        lambda seed: [*(example_html(task, seed + 1) for task in tasks), seed + 1],
        number,
        [*examples, number],
        **QUIETLY,
    )
    for button, counting in zip(buttons, MIXES.values(), strict=True):
        chosen = [float(task in counting) for task in tasks]
        button.click(lambda chosen=chosen: chosen, None, sliders, **QUIETLY)
    return Cards(sliders, states)


def _slider(task: str) -> gr.Slider:
    return gr.Slider(
        0,
        1,
        value=SKILLS.get(task, 0.0),
        step=0.05,
        label=short_task(task).capitalize(),
        info=TASKS[task].about,
        min_width=140,
        buttons=[],
        elem_classes="skill",
        elem_id=f"skill-{task}",
    )


def example_html(task: str, seed: int | None = None) -> str:
    """An example of a task that its own generator draws, folded unless a seed is given.

    Args:
        task: Name of the task.
        seed: Random seed; None for the first example.
    """
    if not find_task(task).tokens:  # a task of somebody's own that does not explain its tokens
        return ""
    return (
        f'<details class="worked"{"" if seed is None else " open"}><summary>Example</summary>'
        f"{worked_example_html(task, seed or 0)}"
        '<div class="faint">Above: what the model reads. Below: what it has to answer.</div>'
        "</details>"
    )


def weights_of(values: tuple[Any, ...]) -> dict[str, float]:
    """Task weights of the sliders' values, which are in the order of `TASKS`."""
    return dict(zip(TASKS, map(float, values), strict=True))

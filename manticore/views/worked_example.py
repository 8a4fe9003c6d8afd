"""A worked example of a MAD task as HTML: what is given in a row, and the answers below it."""

import html

from manticore.tasks.example import Symbol, worked_example
from manticore.views.plots.theme import MUTED, component_colour, translucent

COLORS = {"key": component_colour(0), "value": component_colour(1), "restore": component_colour(3)}
"""Keys and values; what only announces something or fills a place is gray."""
_CHIP = (
    "display:inline-block;min-width:1.5em;padding:0 4px;margin:1px;border-radius:5px;"
    "text-align:center;font:600 0.82rem/1.6 ui-monospace,Menlo,Consolas,monospace"
)
_CELL = "display:inline-flex;flex-direction:column;vertical-align:top"


def worked_example_html(task: str, seed: int = 0) -> str:
    """An example of a task.

    Args:
        task: Name of the task.
        seed: Random seed.

    Raises:
        UnknownNameError: There is no such task.
        ValueError: The task does not say what its tokens mean.
    """
    example = worked_example(task, seed)
    answers = list(example.answers)
    label = "All answers are due at the last position." if example.from_the_end else ""
    cells = "".join(
        f'<span style="{_CELL}">{_chip(given)}{_chip(answer, answer=True)}</span>'
        for given, answer in zip(example.given, answers, strict=True)
    )
    spoken = " ".join(symbol.text for symbol in example.given)
    due = " ".join("_" if answer is None else answer.text for answer in answers)
    return (
        f'<div class="worked-example" role="img" aria-label="Given: {html.escape(spoken)}. '
        f'Answers: {html.escape(due)}.">'
        f'<div style="line-height:1;padding:2px 0">{cells}</div>'
        f'<div style="font-size:0.78rem;{MUTED}">{label}</div></div>'
    )


def _chip(symbol: Symbol | None, answer: bool = False) -> str:
    """A token; an answer is outlined, and where none is due there is room for one."""
    if symbol is None:
        return f'<span style="{_CHIP};visibility:hidden">·</span>'
    color = COLORS.get(symbol.kind, "#80899a")
    look = f"background:{translucent(color, 0.28)}"
    if answer:
        look = f"box-shadow:inset 0 0 0 2px {color}"
    return f'<span style="{_CHIP};{look}">{html.escape(symbol.text)}</span>'

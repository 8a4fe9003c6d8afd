"""Continuations of one beginning side by side, as HTML: a column for each component."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from manticore.views.plots.theme import component_colour, short_names

STYLE = """<style>
.mc-columns { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fit, minmax(min(260px, 100%), 1fr)); }
.mc-columns section { border: 1px solid var(--border-color-primary, #cfd6df); border-top: 4px solid;
  border-radius: 8px; padding: 6px 12px 8px; min-width: 0; }
.mc-columns h4 { display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: baseline;
  margin: 0 0 4px; font-size: .95em; }
.mc-columns .state { font-weight: 400; font-size: .85em; opacity: .8; }
.mc-columns .writing { opacity: 1; font-weight: 600; }
.mc-columns p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; min-height: 3em; }
</style>"""


@dataclass(frozen=True)
class Column:
    """What one component writes.

    Attributes:
        name: Name of the component.
        text: What it has written.
        state: `waiting`, `writing`, `done` or `stopped`.
    """

    name: str
    text: str = ""
    state: str = "waiting"


WORDS = {
    "waiting": "waits for its turn",
    "writing": "is writing …",
    "done": "",
    "stopped": "stopped",
}


def side_by_side_html(columns: Sequence[Column]) -> str:
    """What components have written, each in a column with its color.

    Args:
        columns: One for each component of the hybrid, in their order.
    """
    names = short_names([column.name for column in columns])
    shown = "".join(
        f'<section aria-label="{html.escape(name)}" style="border-top-color:{component_colour(k)}">'
        f"<h4>{html.escape(name)} alone"
        f'<span class="state {column.state}">{WORDS[column.state]}</span></h4>'
        f"<p>{html.escape(column.text.lstrip(' '))}</p></section>"
        for k, (name, column) in enumerate(zip(names, columns, strict=True))
    )
    return f'{STYLE}<div class="mc-columns">{shown}</div>'

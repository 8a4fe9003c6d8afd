"""What a notebook shows of a run at one moment, as data: words in HTML, and a figure per panel."""

import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from manticore.views.panels import Snapshot, panels_for
from manticore.views.wording import phrases, state_words, warning_text

if TYPE_CHECKING:
    from manticore.runs import Run


@dataclass(frozen=True)
class Drawn:
    """A panel as it looks now.

    Attributes:
        name: Name of the panel.
        title: Its title.
        wide: Whether it takes the whole width.
        figure: The figure, or its HTML; None where there is nothing to show yet.
    """

    name: str
    title: str
    wide: bool
    figure: go.Figure | str | None

    def as_json(self) -> dict[str, Any]:
        """The panel for the widget: a figure as `data` and `layout`, HTML as it is, or None."""
        spec = self.figure
        if isinstance(spec, go.Figure):
            spec = json.loads(str(spec.to_json()))
        return {"name": self.name, "title": self.title, "wide": self.wide, "figure": spec}


@dataclass(frozen=True)
class Picture:
    """A run at one moment.

    Attributes:
        status: State, step, loss, speed and warnings, as HTML.
        sample: The text that the hybrid wrote last, as HTML; "" if there is none.
        panels: The figures, in their order.
    """

    status: str
    sample: str
    panels: list[Drawn]


def picture_of(run: "Run") -> Picture:
    """What there is to show of a run now."""
    seen = Snapshot.of(run)
    warnings = (warning_text(event) for event in seen.events if event["kind"] == "warning")
    notes = "".join(f"<div>&#9888; {html.escape(text)}</div>" for text in warnings)
    sample = seen.last("sample")
    return Picture(
        status=status_line(run.summary()) + notes,
        sample=f"<i>{html.escape(sample['text'])}</i>" if sample else "",
        panels=[
            Drawn(panel.name, panel.title, panel.wide, panel.figure(seen))
            for panel in panels_for(seen.stage)
        ],
    )


def status_line(row: dict[str, Any]) -> str:
    """A run's state in one line of HTML.

    Args:
        row: `Run.summary()`.
    """
    trouble = f"{row['message']} {row['remedy'] or ''}".strip() if row["message"] else ""
    words = [html.escape(text) for text in (*phrases(row), trouble) if text]
    words = [f"<b>{state_words(row)}</b>", *words, f"<code>{html.escape(row['id'])}</code>"]
    return f"<div>{' &middot; '.join(words)}</div>"

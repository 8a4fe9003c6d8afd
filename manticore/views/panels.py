"""The panels of a run's view: one list that the page and the notebook read.

To add a figure, or a piece of HTML, to every view of a run, register a `Panel` here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from manticore.views.colored_text import ColoredText
from manticore.views.plots import (
    loss_figure,
    mixture_figure,
    mixture_heatmap,
    outcome_figure,
    path_figure,
)

if TYPE_CHECKING:
    from manticore.runs import Run


@dataclass(frozen=True)
class Snapshot:
    """What the folder of a run tells at one moment.

    Attributes:
        id: Id of the run; "" where there is no run yet.
        stage: What the run does, such as `search`.
        events: The events so far, oldest first; of a long run, a part of those that it repeats.
        count: How many events there are in all.
    """

    id: str
    stage: str
    events: Sequence[Mapping[str, Any]]
    count: int = 0

    @classmethod
    def of(cls, run: "Run") -> "Snapshot":
        """The snapshot of a run, taken now."""
        return cls(run.id, run.config.stage, *run.thinned_events())

    def last(self, kind: str) -> Mapping[str, Any] | None:
        """The last event of a kind; None if there is none yet."""
        return next((event for event in reversed(self.events) if event["kind"] == kind), None)


@dataclass(frozen=True)
class Panel:
    """One figure, or piece of HTML, in the view of a run.

    Attributes:
        name: Name in the registry and, on the page, id of the element: letters and hyphens.
        title: Two or three words that name the figure for those who cannot see it.
        figure: Draws the figure; None from it means that there is nothing to show at the moment.
            With `is_html` it gives HTML instead, in which every text is escaped.
        suits: Whether the runs of a stage have this panel.
        wide: Whether the figure takes the whole width; others stand side by side.
        is_html: Whether it is HTML.
    """

    name: str
    title: str
    figure: Callable[[Snapshot], go.Figure | str | None]
    suits: Callable[[str], bool] = lambda _stage: True
    wide: bool = False
    is_html: bool = False


PANELS: dict[str, Panel] = {}
"""All panels by name, in the order in which they are shown."""


def register_panel(panel: Panel) -> Panel:
    """Add a panel to the view of every run that it suits.

    Raises:
        ValueError: There is a panel of this name already.
    """
    if panel.name in PANELS:
        raise ValueError(f"There is already a panel named {panel.name!r}: choose another name.")
    PANELS[panel.name] = panel
    return panel


def panels_for(stage: str) -> list[Panel]:
    """The panels of a stage's runs, in the order in which they are shown."""
    return [panel for panel in PANELS.values() if panel.suits(stage)]


def _mixture_now(seen: Snapshot) -> go.Figure | None:
    mixture = seen.last("mixture")
    if mixture is None:
        return None
    task = mixture.get("task") or ""
    return mixture_heatmap(mixture["weights"], mixture["components"], seen.id, task)


def _probe_text(seen: Snapshot) -> str | None:
    probe = seen.last("probe")
    if probe is None:
        return None
    title = f"<div><b>Held-out text at step {probe['step']}</b></div>"
    return title + ColoredText.of(probe).to_html()


def _loss(seen: Snapshot) -> go.Figure:
    measured = seen.last("eval")
    floor = measured["metrics"].get("floor") if measured else None
    return loss_figure(seen.events, floor, seen.id)


register_panel(
    Panel(
        "probe",
        "Held-out text, colored by its mixture weights",
        _probe_text,
        suits=lambda stage: stage != "program",
        wide=True,
        is_html=True,
    )
)
register_panel(
    Panel(
        "mixture",
        "Mixture weights over the steps",
        lambda seen: mixture_figure(seen.events, seen.id),
        wide=True,
    )
)
register_panel(Panel("mixture-now", "Mixture weights now", _mixture_now, wide=True))
register_panel(
    Panel(
        "path",
        "Way of the mixture weights of three components",
        lambda seen: path_figure(seen.events, seen.id),
    )
)
register_panel(Panel("loss", "Training loss", _loss))
register_panel(
    Panel(
        "outcome",
        "Perplexity or accuracy",
        lambda seen: outcome_figure(seen.events, seen.stage, seen.id),
    )
)

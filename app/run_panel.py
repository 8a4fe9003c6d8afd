"""A run as the page shows it: status, figures and words, live."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import gradio as gr
from gradio.components import Component

from manticore.runs import Run, RunConfig, RunError, start_run
from manticore.views.panels import Panel, Snapshot, panels_for
from manticore.views.wording import explain, warning_text

from .code import code_of_run
from .page import ALL_AT_ONCE, Page
from .status import continuing_html, elsewhere_html, idle_html, sample_html, status_html

TICK = 1.0
"""Seconds between looks at the run folder."""


@dataclass(frozen=True)
class View:
    """Which runs a tab shows, and how.

    Attributes:
        stage: Stage whose panels it has.
        button: Label of the button that starts a run.
        shows: Whether runs of a stage belong on it.
        prefix: Beginning of the elements' ids.
    """

    stage: str
    button: str
    shows: Callable[[str], bool]
    prefix: str = ""


class RunPanel:
    """Lays a tab's panel out where it is created, and wires it.

    Args:
        page: What the tabs share.
        view: Which runs it shows.
    """

    def __init__(self, page: Page, view: View) -> None:
        self.page, self.view = page, view
        with gr.Row():
            status = gr.HTML(idle_html(view.button), elem_id=f"{view.prefix}status", padding=False)
            with gr.Column(scale=0, min_width=110):
                buttons = [
                    gr.Button(label, size="sm", visible=False, elem_id=f"{view.prefix}{name}")
                    for label, name in (("Stop", "stop"), ("End now", "end"), ("Resume", "resume"))
                ]
        plots = self._plots()
        words = gr.HTML(elem_id=f"{view.prefix}words", padding=False)
        code_of_run(page, f"{view.prefix}run-code")
        self._follow(buttons, [status, *plots, words])

    def _plots(self) -> list[Component]:
        """A plot for each panel of the stage; those that are not wide stand side by side."""
        plots = []
        before = Snapshot.before(self.view.stage)
        for wide, panels in groupby(panels_for(self.view.stage), key=lambda panel: panel.wide):
            with gr.Column() if wide else gr.Row():
                plots += [self._place(panel, panel.figure(before)) for panel in panels]
        return plots

    def _place(self, panel: Panel, figure: Any) -> Component:
        """Where a panel's figure or HTML is shown, with what there is before the run."""
        shared = {"visible": figure is not None, "elem_id": f"{self.view.prefix}{panel.name}"}
        if panel.is_html:
            return gr.HTML(figure, padding=False, **shared)
        return gr.Plot(figure, label=panel.title, show_label=False, min_width=360, **shared)

    def _follow(self, buttons: list[gr.Button], drawn: list[Component]) -> None:
        page, view, seen = self.page, self.view, gr.State(None)

        def look(run_id: str | None, before: Any) -> Any:
            return draw(page.runs.find(run_id), before, view, page.tab_of)

        outputs = [*drawn, *buttons, seen]
        gr.Timer(TICK).tick(look, [page.shown, seen], outputs, **ALL_AT_ONCE)
        page.shown.change(look, [page.shown, seen], outputs, **ALL_AT_ONCE)
        for button, do in zip(buttons, (Run.stop, Run.kill, Run.resume), strict=True):
            button.click(partial(_act, page, do), page.shown, None, **ALL_AT_ONCE)

    def start_with(
        self, button: gr.Button, inputs: list[Component], config_from: Callable[..., RunConfig]
    ) -> None:
        """Have a button start the run that a form describes, and show it.

        Args:
            button: Button of the form.
            inputs: Inputs of the form, in the order of `config_from`.
            config_from: Makes the configuration; ValueError, LookupError and OSError are shown.
        """
        page = self.page

        def start_now(*values: Any) -> Any:
            try:
                run = start_run(config_from(*values), root=page.runs.root)
            except (ValueError, LookupError, OSError, ModuleNotFoundError) as error:
                gr.Warning(explain(error), title="Not started", duration=12)
                return gr.skip()
            return gr.Dropdown(choices=page.runs.choices(), value=run.id)

        button.click(start_now, inputs, page.shown, api_visibility="private")


def _act(page: Page, do: Callable[[Run], object], run_id: str | None) -> None:
    """Stop, end or resume a run; what cannot be done is shown on the page."""
    try:
        if (run := page.runs.find(run_id)) is not None:
            do(run)
    except (RunError, ValueError, OSError) as error:
        gr.Warning(str(error))


def draw(run: Run | None, before: Any, view: View, tab_of: Callable[[str], str]) -> Any:
    """The panel's outputs for a run, or nothing if nothing about it is new.

    Args:
        run: Run that the page shows, if any.
        before: What the last look saw, which this function returns as its last output.
        view: Which runs the panel shows.
        tab_of: Title of the tab that shows the runs of a stage.
    """
    if run is None or not view.shows(run.config.stage):
        return _idle(run, before, view, tab_of)
    seen, row = Snapshot.of(run), run.summary()
    now = (run.id, len(seen.events), row["state"])
    if before == now:
        return gr.skip()
    only_state = bool(before) and before[:2] == now[:2]
    figures = [gr.skip() if only_state else _plot(p.figure(seen)) for p in panels_for(view.stage)]
    warnings = [warning_text(event) for event in seen.events if event["kind"] == "warning"]
    words = (
        continuing_html(run) if run.config.stage == "program" else sample_html(seen.last("sample"))
    )
    return [
        status_html(row, warnings),
        *figures,
        words,
        gr.Button(visible=row["state"] in {"queued", "running"}),
        gr.Button(visible=row["state"] == "stopping"),
        gr.Button(visible=row["state"] in {"stopped", "failed", "died"}),
        now,
    ]


def _idle(run: Run | None, before: Any, view: View, tab_of: Callable[[str], str]) -> Any:
    now = None if run is None else run.id
    if before == now:
        return gr.skip()
    empty = Snapshot.before(view.stage)
    figures = [_plot(panel.figure(empty)) for panel in panels_for(view.stage)]
    off = gr.Button(visible=False)
    status = idle_html(view.button)
    if run is not None:
        status = elsewhere_html(run, tab_of(run.config.stage), view.button)
    return [status, *figures, "", off, off, off, now]


def _plot(figure: Any) -> Any:
    """The update of a plot; without a figure it is hidden."""
    return gr.update(value=figure, visible=figure is not None)

"""A run as the page shows it: status, figures and words, live."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.components import Component
from gradio.components.plot import PlotData

from manticore.runs import Run, RunConfig, RunError, start_run
from manticore.views.panels import Panel, Snapshot, panels_for
from manticore.views.wording import warning_text

from .code import code_of_run
from .page import ALL_AT_ONCE, Page, check_theirs, user_of, warn
from .shared import Shared
from .status import elsewhere_html, idle_html, sample_html, status_html
from .users import not_theirs

TICK = 1.0
"""Seconds between looks at the run folder."""
_BUTTONS = ({"queued", "running"}, {"stopping"}, {"stopped", "failed", "died"})
"""States in which a run can be stopped, ended and resumed."""


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
        words = gr.HTML(elem_id=f"{view.prefix}sample", padding=False)
        code_of_run(page, f"{view.prefix}run-code")
        self._follow(buttons, [status, *plots, words])

    def _plots(self) -> list[Component]:
        """A plot for each panel of the stage; those that are not wide stand side by side."""
        plots = []
        for wide, panels in groupby(panels_for(self.view.stage), key=lambda panel: panel.wide):
            with gr.Column() if wide else gr.Row():
                plots += [self._place(panel) for panel in panels]
        return plots

    def _place(self, panel: Panel) -> Component:
        """Where a panel's figure or HTML is shown, once there is a run."""
        shared = {"visible": False, "elem_id": f"{self.view.prefix}{panel.name}"}
        if panel.is_html:
            return gr.HTML(padding=False, **shared)
        return gr.Plot(label=panel.title, show_label=False, min_width=360, **shared)

    def _follow(self, buttons: list[gr.Button], drawn: list[Component]) -> None:
        page, view, seen = self.page, self.view, gr.State(None)
        pictures = Shared(picture_of, fresh_for=TICK)

        def look(run_id: str | None, before: Any, request: gr.Request) -> Any:
            run, user = page.runs.find(run_id), user_of(request)
            return draw(run, before, view, page.tab_of, user, pictures)

        outputs = [*drawn, *buttons, seen]

        def stamp(run_id: str | None) -> object:
            run = page.runs.find(run_id)
            return pictures.of(run).seen if run and view.shows(run.config.stage) else run_id

        for event in (page.shown.change, page.looks.noticed(TICK, stamp, [page.shown])):
            event(look, [page.shown, seen], outputs, **ALL_AT_ONCE)
        resume = partial(Run.resume, at_once=page.at_once)
        for button, do in zip(buttons, (Run.stop, Run.kill, resume), strict=True):
            button.click(_acting(page, do), page.shown, None, **ALL_AT_ONCE)

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

        # Gradio hands the request to the first parameter that is annotated so.
        def start_now(request: gr.Request, *values: Any) -> Any:
            try:
                run = start(page, config_from(*values), user_of(request))
            except (ValueError, LookupError, OSError, ModuleNotFoundError) as error:
                warn(error, "Not started")
                return gr.skip()
            return gr.Dropdown(choices=page.runs.choices(), value=run.id)

        button.click(start_now, inputs, page.shown, api_visibility="private")


def start(page: Page, config: RunConfig, user: str | None) -> Run:
    """Start a run as a visitor may: of components that the page admits, owned by its user.

    Args:
        page: What the tabs share.
        config: What a form describes.
        user: Name of the user; None on a page without logins.

    Raises:
        ValueError, LookupError, OSError, ModuleNotFoundError: It cannot be started; the message is
            for the reader of the page.
    """
    allowed = page.components.allowed(config)
    page.known.check(config.components, config.n_blocks)
    config = allowed.model_copy(update={"owner": user})
    return start_run(config, root=page.runs.root, at_once=page.at_once)


def _acting(page: Page, do: Callable[[Run], object]) -> Callable[..., None]:
    """Stops, ends or resumes a run; what cannot be done is shown on the page."""

    def act(run_id: str | None, request: gr.Request) -> None:
        try:
            if (run := page.runs.find(run_id)) is not None:
                check_theirs(run, request)
                do(run)
        except (RunError, ValueError, OSError) as error:
            warn(error)

    return act


@dataclass(frozen=True)
class Picture:
    """What there is to see of a run at one moment, the same for all who look.

    Attributes:
        seen: What it was made from: id, number of events, state and its message.
        row: Summary of the run.
        warnings: Messages of its warnings, oldest first.
        figures: Updates of the panels of its stage.
        words: HTML below the figures.
    """

    seen: tuple[str, int, str, str]
    row: dict[str, Any]
    warnings: list[str]
    figures: list[Any]
    words: str


def picture_of(run: Run, before: Picture | None = None) -> Picture:
    """The picture of a run now.

    Args:
        run: The run.
        before: An earlier picture: what is as it was is not drawn again.
    """
    events, row, stage = Snapshot.of(run), run.summary(), run.config.stage
    seen = (run.id, events.count, row["state"], row["message"])
    if before is not None and before.seen == seen:
        return before
    if before is not None and before.seen[:2] == seen[:2]:
        figures = before.figures
    else:
        figures = [_plot(panel.figure(events)) for panel in panels_for(stage)]
    return Picture(
        seen,
        row,
        [warning_text(event) for event in events.events if event["kind"] == "warning"],
        figures,
        sample_html(events.last("sample")),
    )


def draw(
    run: Run | None,
    before: Any,
    view: View,
    tab_of: Callable[[str], str],
    user: str | None = None,
    pictures: Shared[Picture] | None = None,
) -> Any:
    """The panel's outputs for a run, or nothing if nothing about it is new.

    Args:
        run: Run that the page shows, if any.
        before: What the last look saw, which this function returns as its last output.
        view: Which runs the panel shows.
        tab_of: Title of the tab that shows the runs of a stage.
        user: Name of the user who looks; None on a page without logins.
        pictures: Pictures that all who look share; a new one is made if None.
    """
    if run is None or not view.shows(run.config.stage):
        return _idle(run, before, view, tab_of)
    picture = picture_of(run) if pictures is None else pictures.of(run)
    if before == picture.seen:
        return gr.skip()
    # A copy for each who looks: Gradio takes updates apart when it sends them.
    figures, state = [dict(update) for update in picture.figures], picture.row["state"]
    if before and before[:2] == picture.seen[:2]:
        figures = [gr.skip() for _ in figures]
    foreign = not_theirs(run, user)
    return [
        status_html(picture.row, picture.warnings, foreign),
        *figures,
        picture.words,
        *(gr.Button(visible=state in states and not foreign) for states in _BUTTONS),
        picture.seen,
    ]


def _idle(run: Run | None, before: Any, view: View, tab_of: Callable[[str], str]) -> Any:
    now = None if run is None else run.id
    if before == now:
        return gr.skip()
    figures = [_plot(None) for _ in panels_for(view.stage)]
    off = gr.Button(visible=False)
    status = idle_html(view.button)
    if run is not None:
        status = elsewhere_html(run, tab_of(run.config.stage), view.button)
    return [status, *figures, "", off, off, off, now]


def _plot(figure: Any) -> Any:
    """The update of a plot, ready to be sent; without a figure it is hidden."""
    if isinstance(figure, go.Figure):
        figure = PlotData(type="plotly", plot=str(figure.to_json()))
    return gr.update(value=figure, visible=figure is not None)

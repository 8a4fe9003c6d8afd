"""A run as the page shows it: status, mixture weights, loss, how good it is, live."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from manticore.runs import Run, RunConfig, RunError, start_run
from manticore.views.plots import (
    empty_figure,
    loss_figure,
    mixture_figure,
    mixture_heatmap,
    outcome_figure,
)
from manticore.views.wording import explain, warning_text

from .status import going_on_html, idle_html, sample_html, status_html
from .watching import Watcher, last_event

TICK = 1.0  # seconds between looks at the run folder
_NOTHING = "The mixture weights of each block appear here<br>while the search runs"


class RunPanel:
    """Lays a tab's panel out and wires it: made where it is to stand.

    Args:
        watcher: the runs.
        shown: the page's list of runs; its value is the run that is shown.
        programming: shows programming runs and no others; else all others and none of those.
    """

    def __init__(self, watcher: Watcher, shown: gr.Dropdown, programming: bool = False) -> None:
        self.watcher, self.shown, self.programming = watcher, shown, programming
        tab = "program-" if programming else ""
        stage = "program" if programming else "search"
        with gr.Row():
            status = gr.HTML(idle_html(None, programming), elem_id=f"{tab}status", padding=False)
            with gr.Column(scale=0, min_width=110):
                stop = gr.Button("Stop", size="sm", visible=False, elem_id=f"{tab}stop")
                end = gr.Button("End now", size="sm", visible=False, elem_id=f"{tab}end")
                resume = gr.Button("Resume", size="sm", visible=False, elem_id=f"{tab}resume")
        mixture = gr.Plot(empty_figure(_NOTHING), show_label=False, elem_id=f"{tab}mixture")
        heatmap = gr.Plot(show_label=False, elem_id=f"{tab}heatmap", visible=False)
        with gr.Row():
            loss = gr.Plot(loss_figure([]), show_label=False, elem_id=f"{tab}loss", min_width=360)
            outcome = gr.Plot(
                outcome_figure([], stage),
                show_label=False,
                elem_id=f"{tab}outcome",
                min_width=360,
            )
        words = gr.HTML(elem_id=f"{tab}words", padding=False)
        seen = gr.State(None)
        self._follow([stop, end, resume], seen, [status, mixture, heatmap, loss, outcome, words])

    def _follow(self, buttons: list[gr.Button], seen: gr.State, drawn: list[Any]) -> None:
        watcher, shown = self.watcher, self.shown

        def look(run_id: str | None, before: Any) -> Any:
            return draw(watcher.find(run_id), before, self.programming)

        outputs = [*drawn, *buttons, seen]
        quietly = {
            "show_progress": "hidden",
            "concurrency_limit": None,
            "api_visibility": "private",
        }
        gr.Timer(TICK).tick(look, [shown, seen], outputs, **quietly)
        shown.change(look, [shown, seen], outputs, **quietly)
        for button, do in zip(buttons, (Run.stop, Run.kill, Run.resume), strict=True):
            button.click(partial(_act, watcher, do), shown, None, **quietly)

    def start_with(
        self,
        button: gr.Button,
        inputs: list[gr.components.Component],
        config_from: Callable[..., RunConfig],
    ) -> None:
        """Have a button start the run that a form describes, and show it.

        Args:
            button: of the form.
            inputs: the form's, in the order of `config_from`.
            config_from: ValueError, LookupError or OSError from it are said on the page.
        """

        def start_now(*values: Any) -> Any:
            try:
                run = start_run(config_from(*values), root=self.watcher.root)
            except (ValueError, LookupError, OSError) as error:
                gr.Warning(explain(error), title="Not started", duration=12)
                return gr.skip()
            return gr.Dropdown(choices=self.watcher.choices(), value=run.id)

        button.click(start_now, inputs, self.shown, api_visibility="private")


def _act(watcher: Watcher, do: Callable[[Run], object], run_id: str | None) -> None:
    """Stop, end or resume a run; what cannot be done is said on the page."""
    try:
        if (run := watcher.find(run_id)) is not None:
            do(run)
    except (RunError, OSError) as error:
        gr.Warning(str(error))


def draw(run: Run | None, before: Any, programming: bool = False) -> Any:
    """The panel's outputs for a run, or nothing if nothing of it is new.

    Args:
        run: the run that is shown, if any.
        before: what the last look saw, as this function returned it at the end.
        programming: as for `RunPanel`.
    """
    if run is None or (run.config.stage == "program") != programming:
        return _idle(run, before, programming)
    events, row = run.events(), run.summary()
    now = (run.id, len(events), row["state"])
    if before == now:
        return gr.skip()
    only_state = before and before[:2] == now[:2]
    figures = [gr.skip()] * 4 if only_state else _figures(run, events, row)
    warnings = [warning_text(event) for event in events if event["kind"] == "warning"]
    words = going_on_html(run) if programming else sample_html(last_event(events, "sample"))
    return [
        status_html(row, warnings),
        *figures,
        words,
        gr.Button(visible=row["state"] in {"queued", "running"}),
        gr.Button(visible=row["state"] == "stopping"),
        gr.Button(visible=row["state"] in {"stopped", "failed", "died"}),
        now,
    ]


def _idle(run: Run | None, before: Any, programming: bool) -> Any:
    now = None if run is None else run.id
    if before == now:
        return gr.skip()
    figures = [empty_figure(_NOTHING), gr.Plot(visible=False), loss_figure([])]
    figures.append(outcome_figure([], "program" if programming else "search"))
    off = gr.Button(visible=False)
    return [idle_html(run, programming), *figures, "", off, off, off, now]


def _figures(run: Run, events: list[dict[str, Any]], row: dict[str, Any]) -> list[Any]:
    mixture = last_event(events, "mixture")
    now = gr.Plot(visible=False)
    if mixture is not None:
        alpha, names = mixture["weights"], mixture["components"]
        task = mixture.get("task", "")
        now = gr.Plot(mixture_heatmap(alpha, names, run.id, task), visible=True)
    loss = loss_figure(events, (row["metrics"] or {}).get("floor"), run.id)
    return [mixture_figure(events, run.id), now, loss, outcome_figure(events, row["stage"], run.id)]

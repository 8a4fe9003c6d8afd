"""Several runs over each other: perplexity, and what differs between them."""

from typing import Any

import gradio as gr

from manticore.runs import Run
from manticore.views.differences import differences, differences_html
from manticore.views.plots.comparing import comparison_figure
from manticore.views.terminal.tables import outcome_label

from .page import ALL_AT_ONCE, Page
from .status import run_label

MOST = 6
"""Runs that can be told apart in one figure."""


def build(page: Page) -> None:
    """Lay the comparison out and wire it.

    Args:
        page: What the tabs share.
    """
    with gr.Accordion("Compare runs", open=False, elem_id="compare-panel") as panel:
        chosen = gr.Dropdown(
            [],
            multiselect=True,
            max_choices=MOST,
            label="Runs",
            info=f"Two to {MOST}.",
            elem_id="compare-runs",
        )
        figure = gr.Plot(comparison_figure([]), show_label=False, elem_id="compare-figure")
        table = gr.HTML(elem_id="compare-table", padding=False)

    def offer(run_id: str | None, before: list[str]) -> Any:
        chosen = before or ([run_id] if run_id else [])
        return gr.Dropdown(choices=page.runs.choices(), value=chosen)

    def compare(ids: list[str]) -> Any:
        found = [run for run_id in ids or () if (run := page.runs.find(run_id)) is not None]
        return compared(found)

    panel.expand(offer, [page.shown, chosen], chosen, **ALL_AT_ONCE)
    chosen.change(compare, chosen, [figure, table], **ALL_AT_ONCE)


def compared(runs: list[Run]) -> tuple[Any, str]:
    """The figure and the table of differences.

    Args:
        runs: The runs.
    """
    labels = [run_label(run) for run in runs]
    figure = comparison_figure(
        [(label, run.events()) for label, run in zip(labels, runs, strict=True)]
    )
    if len(runs) < 2:
        return figure, ""
    outcomes = [outcome_label(run, run.summary()["metrics"]) for run in runs]
    rows = {"held-out perplexity": outcomes, **differences([run.config for run in runs])}
    return figure, differences_html(labels, rows)

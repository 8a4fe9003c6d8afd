"""Several runs over each other: perplexity, and what differs between them."""

from typing import Any

import gradio as gr

from manticore.views.comparison import MOST, compare
from manticore.views.plots.comparing import comparison_figure

from .page import ALL_AT_ONCE, Page


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

    def show(ids: list[str]) -> Any:
        found = [run for run_id in ids or () if (run := page.runs.find(run_id)) is not None]
        if len(found) < 2:
            return comparison_figure([]), ""
        comparison = compare(found)
        return comparison.figure, comparison.to_html()

    panel.expand(offer, [page.shown, chosen], chosen, **ALL_AT_ONCE)
    chosen.change(show, chosen, [figure, table], **ALL_AT_ONCE)

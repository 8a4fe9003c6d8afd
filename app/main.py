"""The page: `manticore app`, then http://127.0.0.1:7860."""

import argparse
import logging
import os
from pathlib import Path
from typing import Any

# Read by Gradio when it is imported: nothing is reported to anybody.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from manticore.runs import runs_root
from manticore.views.wording import REACH

from . import chat_tab, program_tab, search_tab
from .style import CSS, FIT_FIGURES, REMEMBER_RUN, THEME
from .watching import Watcher

MASTHEAD = """
# Manticore
Mix pretrained language models block by block, watch which wins where, read what the hybrid writes.
"""


def build_page(root: Path) -> gr.Blocks:
    """The whole page over the runs in `root`."""
    watcher = Watcher(root)
    with gr.Blocks(title="Manticore", analytics_enabled=False, fill_width=True) as page:
        last_run = gr.BrowserState("", storage_key="manticore-last-run", secret="manticore")
        with gr.Row(equal_height=True):
            with gr.Column(scale=7, min_width=320):
                gr.Markdown(MASTHEAD, elem_id="masthead")
            with gr.Column(scale=6, min_width=320):
                # Its value lives in the browser, so it outlives a restart of this process; ids that
                # the list lacks are let in, and checked where they are used.
                shown = gr.Dropdown(
                    watcher.choices(),
                    value=None,
                    label="Run",
                    allow_custom_value=True,
                    elem_id="run",
                )
        with gr.Tabs() as tabs:
            with gr.Tab("Build and search", id="search"):
                search_tab.build(watcher, shown)
            with gr.Tab("Program", id="program"):
                program_tab.build(watcher, shown)
            with gr.Tab("Chat", id="chat"):
                chat_tab.build(watcher, shown)

        def restore(last: str, request: gr.Request) -> Any:
            asked = request.query_params.get("run")
            run = watcher.find(asked or last)
            if asked and run is None:
                gr.Warning("There is no such run here. Choose one from the list.")
            choices = gr.Dropdown(choices=watcher.choices(), value=run.id if run else None)
            programming = run is not None and run.config.stage == "program"
            return choices, gr.Tabs(selected="program") if programming else gr.skip()

        quietly = {"show_progress": "hidden", "api_visibility": "private"}
        page.load(restore, last_run, [shown, tabs], concurrency_limit=None, **quietly)
        tabs.change(None, None, None, js=FIT_FIGURES, **quietly)
        shown.change(None, shown, last_run, js=REMEMBER_RUN, **quietly)
        shown.focus(
            lambda: gr.Dropdown(choices=watcher.choices()),
            None,
            shown,
            concurrency_limit=None,
            **quietly,
        )
    return page


def main(arguments: list[str] | None = None) -> None:
    """Serve the page until interrupted."""
    parser = argparse.ArgumentParser(prog="manticore app", description=__doc__)
    parser.add_argument(
        "--host", default="127.0.0.1", help=f"0.0.0.0 lets other machines in; {REACH}"
    )
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--runs-root", help="folder of all runs; $MANTICORE_RUNS, else ./runs")
    parser.add_argument(
        "--share", action="store_true", help=f"a public link through gradio.live; {REACH}"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    page = build_page(runs_root(options.runs_root))
    page.launch(
        server_name=options.host,
        server_port=options.port,
        share=options.share,
        theme=THEME,
        css=CSS,
        footer_links=[],
    )


if __name__ == "__main__":
    main()

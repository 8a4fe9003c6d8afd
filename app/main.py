"""The page: `manticore app`, then http://127.0.0.1:7860."""

import json
import logging
import os
import threading
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Gradio reads it when it is imported: nothing is reported to anybody.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from manticore.runs.gallery import open_gallery, unopened_names
from manticore.runs.spare import SPARE
from manticore.runs.trash import clear_trash

from . import diagram, walk
from .api import add_endpoints
from .components import Components
from .guard import LARGEST_RUN, LARGEST_UPLOAD, guards
from .known import Known
from .looks import Looks
from .open_runs import OpenRuns
from .options import Options, read_options
from .page import ALL_AT_ONCE, QUIETLY, Page, warn
from .style import CSS, REMEMBER_RUN, REMEMBER_TAB, THEME
from .tabs import TABS, tab_for
from .texts import Texts
from .uploads import Uploads

log = logging.getLogger(__name__)
_OPENING = threading.Lock()

MASTHEAD = (
    "<h1>Manticore</h1><p>Mix pretrained language models block by block, watch which wins where, "
    "read what the hybrid writes.</p>"
)

WHO = "Mix pretrained language models in your browser. Whoever runs this page has a name for you."


def build_page(options: Options) -> gr.Blocks:
    """The whole page.

    Args:
        options: How it is served, and what its visitors may read.
    """
    opened = OpenRuns(options.root)
    with gr.Blocks(
        title="Manticore", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)
    ) as blocks:
        last_run = gr.BrowserState("", storage_key="manticore-last-run", secret="manticore")
        with gr.Row(elem_id="top"):
            with gr.Column(scale=7, min_width=320):
                gr.HTML(MASTHEAD, elem_id="masthead", padding=False)
                walk.build()
            with gr.Column(scale=6, min_width=320):
                # Its value lives in the browser, so it outlives a restart of this process; ids that
                # the list lacks are let in, and checked where they are used.
                shown = gr.Dropdown(
                    opened.choices(),
                    value=None,
                    label="Run",
                    allow_custom_value=True,
                    elem_id="run",
                )
        components = Components(options.roots, options.hub)
        asking = gr.State({"text": "", "prompt": ""})
        page = Page(
            opened,
            shown,
            asking,
            Texts(options.roots, Uploads(options.root), options.hub),
            components,
            Known(components),
            options.users,
            options.at_once,
            lambda stage: tab_for(stage).title,
            options.takes_runs,
            Looks(TABS[0].id),
        )
        diagram.build(page)
        with gr.Tabs(elem_id="tabs") as tabs:
            for tab in TABS:
                with gr.Tab(tab.title, id=tab.id) as place, page.looks.within(place):
                    tab.build(page)
        _remember(blocks, page, tabs, last_run)
        add_endpoints(page)
        _leave_alone(blocks, gr.State())
    return blocks


def _leave_alone(blocks: gr.Blocks, nothing: gr.State) -> None:
    """Have looks show no sign of waiting anywhere.

    For each part of the page that can show one, Gradio's script walks through all parts, three
    times for each event: with the outputs of all looks among them, a page that only waits keeps a
    processor busy.

    Args:
        blocks: The page.
        nothing: What the browser does not show.
    """
    for function in blocks.fns.values():
        if function.show_progress == "hidden":
            function.show_progress_on = [nothing]


def _remember(blocks: gr.Blocks, page: Page, tabs: gr.Tabs, last_run: gr.BrowserState) -> None:
    """Show the run of the address bar, or else the browser's last one, whenever the page loads."""
    opened, shown = page.runs, page.shown

    def restore(last: str, request: gr.Request) -> Any:
        asked = request.query_params.get("run")
        run = opened.find(asked or last)
        if asked and run is None:
            warn("There is no such run here. Choose one from the list.")
        elif run is None:
            run = opened.first()
        choices = gr.Dropdown(choices=opened.choices(), value=run.id if run else None)
        tab = request.query_params.get("tab")
        if tab not in {known.id for known in TABS}:
            tab = tab_for(run.config.stage).id if run else None
        return choices, gr.Tabs(selected=tab) if tab else gr.skip(), gr.Timer(active=True)

    # The bundled runs are made while the first page is open, and only then shown to those who have
    # asked for no other.
    waiting = gr.Timer(2.0, active=False)
    blocks.load(restore, last_run, [shown, tabs, waiting], **ALL_AT_ONCE)
    waiting.tick(partial(_first, opened), shown, [shown, waiting], **ALL_AT_ONCE)
    names = json.dumps({tab.title: tab.id for tab in TABS})
    told, js = gr.JSON(visible=False), REMEMBER_TAB.replace("TABS", names)
    tabs.change(page.looks.seen, told, page.looks.timers, js=js, **ALL_AT_ONCE)
    shown.change(None, shown, last_run, js=REMEMBER_RUN, **QUIETLY)
    shown.focus(lambda: gr.Dropdown(choices=opened.choices()), None, shown, **ALL_AT_ONCE)


def _open_next(root: Path) -> bool:
    """Put one bundled run among the others, if one is left that was never there.

    Returns:
        Whether one may still be left.
    """
    # For the first visitor; those who come meanwhile look again.
    if not _OPENING.acquire(blocking=False):
        return True
    name = None
    try:
        name = next(iter(unopened_names(root)), None)
        if name is not None:
            open_gallery(name, root)
        return name is not None
    except (OSError, ValueError) as error:
        log.warning("The bundled run %s is left out: %s", name, error)
        return False
    finally:
        _OPENING.release()


def _first(opened: OpenRuns, shown: str | None) -> Any:
    """Show something to somebody who has chosen nothing, and make the bundled runs meanwhile."""
    run = None if shown else opened.first()
    if run is not None:
        return gr.Dropdown(choices=opened.choices(), value=run.id), gr.skip()
    more = _open_next(opened.root)
    return gr.skip(), gr.skip() if more or not shown else gr.Timer(active=False)


def launch(page: gr.Blocks, options: Options, **more: Any) -> None:
    """Serve the page in the background.

    Args:
        page: The page.
        options: How it is served.
        more: More arguments of Gradio's `launch`.
    """
    page.launch(
        prevent_thread_lock=True,
        server_name=options.host,
        server_port=options.port,
        share=options.share,
        auth=options.users.may_enter if options.users else None,
        auth_message=WHO,
        theme=THEME,
        css=CSS,
        footer_links=[],
        max_file_size=LARGEST_RUN if options.takes_runs else LARGEST_UPLOAD,
        app_kwargs=guards(options.host, options.share, options.names, options.takes_runs),
        # Neither what visitors do nor what they typed is recorded.
        run_history=False,
        enable_monitoring=False,
        **more,
    )


def main(arguments: list[str] | None = None) -> None:
    """Serve the page until interrupted.

    Args:
        arguments: Command line without the program; that of this process if None.
    """
    options = read_options(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    clear_trash(options.root)
    with TemporaryDirectory(prefix="manticore-page-") as private:
        # Where Gradio puts uploads and downloads: not in a folder that all of the machine share.
        os.environ.setdefault("GRADIO_TEMP_DIR", private)
        page = build_page(options)
        launch(page, options)
        # The page answers: what visitors start now need not import everything first.
        SPARE.keep(texts=True)
        page.block_thread()


if __name__ == "__main__":
    main()

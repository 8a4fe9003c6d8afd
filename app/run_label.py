"""The name of the shown run, and a note on it, which whoever the run belongs to can change."""

from typing import Any

import gradio as gr
from gradio.events import Dependency

from manticore.runs import RunError
from manticore.store.label import LONGEST_NAME, LONGEST_NOTE
from manticore.views.plots import short_names

from .page import ALL_AT_ONCE, QUIETLY, Page, check_theirs, user_of, warn
from .users import not_theirs


def build(page: Page) -> Dependency:
    """Lay the two fields out and wire them.

    Args:
        page: What the tabs share.

    Returns:
        The event after which a name or a note may have changed.
    """
    with gr.Row(equal_height=True):
        name = gr.Textbox(
            label="Name",
            max_length=LONGEST_NAME,
            scale=3,
            min_width=220,
            elem_id="runs-name",
        )
        note = gr.Textbox(
            label="Note",
            placeholder="What you tried, and what came of it",
            max_length=LONGEST_NOTE,
            lines=1,
            max_lines=6,
            scale=6,
            min_width=220,
            elem_id="runs-note",
        )
        save = gr.Button("Save", scale=1, min_width=90, elem_id="runs-save")

    def fill(run_id: str | None, request: gr.Request) -> Any:
        run = page.runs.find(run_id)
        if run is None:
            return gr.Textbox(value=""), gr.Textbox(value=""), gr.Button(visible=False)
        theirs = not not_theirs(run, user_of(request))
        hint = " + ".join(short_names(run.config.components))
        return (
            gr.Textbox(value=run.name, placeholder=hint, interactive=theirs),
            gr.Textbox(value=run.note, interactive=theirs),
            gr.Button(visible=theirs),
        )

    def keep(run_id: str | None, name: str, note: str, request: gr.Request) -> Any:
        run = page.runs.find(run_id)
        try:
            if run is None:
                raise LookupError("Choose a run first: select its row.")
            check_theirs(run, request)
            run.rename(name or "", note=note or "")
        except (RunError, LookupError, ValueError, OSError) as error:
            warn(error, "Not saved")
            return gr.skip(), gr.skip(), gr.skip()
        gr.Info("Saved.", duration=3)
        return gr.Dropdown(choices=page.runs.choices(), value=run.id), run.name, run.note

    page.shown.change(fill, page.shown, [name, note, save], **ALL_AT_ONCE)
    return gr.on(
        [save.click, name.submit],
        keep,
        [page.shown, name, note],
        [page.shown, name, note],
        **QUIETLY,
    )

"""The name of the shown run, and a note on it, which whoever the run belongs to can change."""

from typing import Any

import gradio as gr
from gradio.events import Dependency

from manticore.runs import RunError
from manticore.store.label import LONGEST_NAME, LONGEST_NOTE
from manticore.views.plots import short_names

from .page import ALL_AT_ONCE, QUIETLY, Page, check_theirs, user_of, warn
from .users import not_theirs

NONE = "Choose a run"
NOTE = "What you tried, and what came of it"


def lay_out() -> tuple[gr.Textbox, gr.Textbox]:
    """Lay out the field of the name and that of the note."""
    with gr.Row():
        name = gr.Textbox(
            label="Name",
            placeholder=NONE,
            interactive=False,
            max_length=LONGEST_NAME,
            scale=3,
            min_width=220,
            elem_id="runs-name",
        )
        note = gr.Textbox(
            label="Note",
            placeholder=NOTE,
            interactive=False,
            max_length=LONGEST_NOTE,
            lines=1,
            max_lines=6,
            scale=6,
            min_width=220,
            elem_id="runs-note",
        )
    return name, note


def wire(page: Page, name: gr.Textbox, note: gr.Textbox, save: gr.Button) -> Dependency:
    """Fill the fields in for the shown run, and keep what is typed.

    Args:
        page: What the tabs share.
        name: Field of the name.
        note: Field of the note.
        save: The button that keeps both.

    Returns:
        The event after which a name or a note may have changed.
    """

    def fill(run_id: str | None, request: gr.Request) -> Any:
        run = page.runs.find(run_id)
        if run is None:
            off = {"value": "", "interactive": False}
            return gr.Textbox(placeholder=NONE, **off), gr.Textbox(**off)
        theirs = not not_theirs(run, user_of(request))
        # Recipes call their runs by the stage, which is no name that anybody gave.
        name = "" if run.name == run.config.stage else run.name
        hint = " + ".join(short_names(run.config.components))
        return (
            gr.Textbox(value=name, placeholder=hint, interactive=theirs),
            gr.Textbox(value=run.note, interactive=theirs),
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

    page.shown.change(fill, page.shown, [name, note], **ALL_AT_ONCE)
    return gr.on(
        [save.click, name.submit],
        keep,
        [page.shown, name, note],
        [page.shown, name, note],
        **QUIETLY,
    )

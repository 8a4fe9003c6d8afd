"""The tab that lists all runs: show, name, compare, export, import, delete, bring back."""

import html
import time
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from manticore.runs import Run, RunError, runs
from manticore.runs.trash import discard, restore
from manticore.store.files import folder_size
from manticore.views.plots import short_names
from manticore.views.terminal.tables import outcome_label
from manticore.views.wording import duration, size_label, state_words

from . import compare, run_label
from .open_runs import OpenRuns
from .page import ALL_AT_ONCE, QUIETLY, Page, check_theirs, warn
from .run_files import export_buttons, import_button
from .users import Users

COLUMNS = ["Run", "Stage", "State", "Steps", "Outcome", "Took", "Size", "Started", "Note"]
WIDTHS: list[str | int] = [290, 100, 130, 110, 110, 120, 90, 160, 250]
"""Pixels of the columns, which fill a wide page; on a narrow one the table is scrolled."""
OWNER = "Owner"
MOST = 200
"""Runs in the table; a filter finds the others."""
TICK = 5.0
MEASURED_EVERY = 60.0
"""Seconds between looks at the size of a run that is at work."""
LONGEST_NOTE = 120
"""Characters of a note in the table."""
NO_RUNS = "There is no run yet. Start one on the tab **Build and search**, or import one."
SELECT = "Select a row to show its run. What is below is for the run that is shown."


def build(page: Page) -> None:
    """Lay the tab out and wire it.

    Args:
        page: What the tabs share.
    """
    with gr.Row():
        wanted = gr.Textbox(
            placeholder="Filter by name, note, component, stage or state",
            show_label=False,
            container=False,
            scale=6,
            min_width=200,
            elem_id="runs-filter",
        )
        import_button(page)
    columns = [*COLUMNS, OWNER] if page.users else COLUMNS
    table = gr.Dataframe(
        headers=columns,
        datatype=["html" if column == OWNER else "str" for column in columns],
        # The owner takes its room from the note.
        column_widths=[*WIDTHS[:-1], 140, 110] if page.users else WIDTHS,
        interactive=False,
        show_label=False,
        wrap=True,
        elem_id="runs-table",
    )
    hint = gr.Markdown(SELECT, elem_id="runs-hint")
    name, note = run_label.lay_out()
    with gr.Row():
        save = gr.Button("Save", size="sm", scale=0, min_width=110, elem_id="runs-save")
        export_buttons(page)
        delete = gr.Button("Delete", size="sm", scale=0, min_width=110, elem_id="runs-delete")
    renamed = run_label.wire(page, name, note, save)
    undo = gr.Button("Bring the deleted run back", size="sm", visible=False, elem_id="runs-undo")
    compare.build(page)
    listed, deleted, drawn = gr.State([]), gr.State(""), gr.State(None)

    def list_of(text: str) -> dict[str, list[str]]:
        return matching(page.runs, text, page.users)

    def look(text: str, before: Any) -> Any:
        found = list_of(text)
        rows = list(found.values())
        if rows == before:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        return rows, list(found), rows, told(rows, text)

    def choose(ids: list[str], event: gr.SelectData) -> Any:
        row = event.index[0]
        if row >= len(ids):
            return gr.skip()
        return gr.Dropdown(choices=page.runs.choices(), value=ids[row])

    def remove(run_id: str | None, request: gr.Request) -> Any:
        run = page.runs.find(run_id)
        try:
            if run is None:
                raise LookupError("Choose a run first: select its row.")
            check_theirs(run, request)
            discard(run)
        except (RunError, LookupError, OSError) as error:
            warn(error, "Not deleted")
            return gr.skip(), gr.skip(), gr.skip()
        gr.Info("The run is deleted. It can be brought back until the page is started again.")
        choices = gr.Dropdown(choices=page.runs.choices(), value=None)
        return choices, run.id, gr.Button(visible=True)

    def bring_back(run_id: str) -> Any:
        try:
            run = restore(run_id, page.runs.root)
        except (LookupError, ValueError, OSError) as error:
            warn(error)
            return gr.skip(), gr.Button(visible=False)
        return gr.Dropdown(choices=page.runs.choices(), value=run.id), gr.Button(visible=False)

    drawing = [table, listed, drawn, hint]
    gr.on(
        [wanted.change, page.shown.change, page.looks.noticed(TICK, list_of, [wanted])],
        look,
        [wanted, drawn],
        drawing,
        **ALL_AT_ONCE,
    )
    renamed.then(look, [wanted, drawn], drawing, **ALL_AT_ONCE)
    table.select(choose, listed, page.shown, **ALL_AT_ONCE)
    delete.click(remove, page.shown, [page.shown, deleted, undo], **QUIETLY)
    undo.click(bring_back, deleted, [page.shown, undo], **QUIETLY)


def told(rows: list[list[str]], text: str) -> str:
    """The sentence below the table.

    Args:
        rows: What the table shows.
        text: What it is filtered by.
    """
    if rows:
        return SELECT
    return "No run has all of these words." if (text or "").strip() else NO_RUNS


def matching(opened: OpenRuns, text: str, users: Users | None = None) -> dict[str, list[str]]:
    """The rows of the newest runs that have every word of a text, by the id of the run.

    Args:
        opened: The runs.
        text: Words in any order; none for all runs.
        users: Who may log in; None for a table without owners.
    """
    words, found = (text or "").casefold().split(), {}
    for run in runs(opened.root):
        row, note, owner = _row_now(opened, run), run.note, run.config.owner or ""
        told = " ".join([run.id, run.name, note, owner, *row]).casefold()
        if all(word in told for word in words):
            found[run.id] = [*row, _owner_html(owner, users)] if users else row
        if len(found) == MOST:
            break
    return found


def _row_now(opened: OpenRuns, run: Run) -> list[str]:
    """The cells of a run; only what people call it is read each time."""
    status = run.status
    measured = int(time.time() / MEASURED_EVERY) if status.is_active else status.heartbeat
    what, *cells = _row(opened, run.id, status.state, status.heartbeat)
    named = run.name not in ("", run.config.stage)
    note = " ".join(run.note.split())
    short = note if len(note) <= LONGEST_NOTE else f"{note[:LONGEST_NOTE]}…"
    size = size_label(_size(run.folder, status.state, measured))
    return [f"{run.name}: {what}" if named else what, *cells[:-1], size, cells[-1], short]


@lru_cache(maxsize=5 * MOST)
def _row(opened: OpenRuns, run_id: str, _state: str, _heartbeat: float) -> list[str]:
    """The cells of a run, which change when its status does: its events are not read each time."""
    run = opened.find(run_id)
    return [""] * (len(COLUMNS) - 2) if run is None else row_of(run)


@lru_cache(maxsize=5 * MOST)
def _size(folder: Path, _state: str, _measured: float) -> int:
    """Bytes of a run's folder, found once for all who look, and again when it may have changed."""
    return folder_size(folder)


def _owner_html(owner: str, users: Users) -> str:
    dot = f'<span class="dot" style="background:{users.color(owner)}"></span>'
    return f"{dot}{html.escape(owner)}" if owner else ""


def row_of(run: Run) -> list[str]:
    """The cells of a run that only its worker changes, in the order of `COLUMNS`.

    Args:
        run: The run.
    """
    row = run.summary()
    return [
        " + ".join(short_names(row["components"])),
        row["stage"].replace("-", " "),
        state_words(row),
        "" if row["step"] is None else f"{row['step']} of {row['total_steps']}",
        outcome_label(run, row["metrics"]),
        duration(run.took()),
        datetime.fromtimestamp(row["created"]).strftime("%Y-%m-%d %H:%M"),
    ]

"""The tab that lists all runs: show, export, delete, bring back."""

import html
import tempfile
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from manticore.runs import Run, RunError, runs
from manticore.runs.export import export_run
from manticore.runs.trash import discard, restore
from manticore.views.plots import short_names
from manticore.views.terminal.tables import outcome_label
from manticore.views.wording import state_words

from . import compare
from .open_runs import OpenRuns
from .page import ALL_AT_ONCE, QUIETLY, Page, check_theirs, warn
from .users import Users

COLUMNS = ["Run", "Stage", "State", "Steps", "Outcome", "Started"]
OWNER = "Owner"
MOST = 200
"""Runs in the table; a filter finds the others."""
TICK = 5.0


def build(page: Page) -> None:
    """Lay the tab out and wire it.

    Args:
        page: What the tabs share.
    """
    with gr.Row():
        wanted = gr.Textbox(
            placeholder="Filter by component, stage, state or name",
            show_label=False,
            scale=6,
            elem_id="runs-filter",
        )
        delete = gr.Button("Delete", scale=1, elem_id="runs-delete")
        undo = gr.Button("Bring back", scale=1, visible=False, elem_id="runs-undo")
        prepare = gr.Button("Export", scale=1, elem_id="runs-export")
    ready = gr.DownloadButton("Download", visible=False, elem_id="runs-download")
    columns = [*COLUMNS, OWNER] if page.users else COLUMNS
    table = gr.Dataframe(
        headers=columns,
        datatype=["html" if column == OWNER else "str" for column in columns],
        interactive=False,
        show_label=False,
        wrap=True,
        elem_id="runs-table",
    )
    gr.Markdown("Select a row to show its run. Delete and Export are for the run that is shown.")
    compare.build(page)
    exports = tempfile.TemporaryDirectory(prefix="manticore-export-")
    listed, deleted, drawn = gr.State([]), gr.State(""), gr.State(None)

    def look(text: str, before: Any) -> Any:
        found = matching(page.runs, text, page.users)
        rows = list(found.values())
        if rows == before:
            return gr.skip(), gr.skip(), gr.skip()
        return rows, list(found), rows

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

    def pack(run_id: str | None) -> Any:
        run = page.runs.find(run_id)
        try:
            if run is None:
                raise LookupError("Choose a run first: select its row.")
            file = export_run(run, Path(exports.name) / f"{run.id}.zip")
        except (LookupError, OSError) as error:
            warn(error, "Not exported")
            return gr.DownloadButton(visible=False)
        size = file.stat().st_size / 1e6
        return gr.DownloadButton(f"Download {size:.0f} MB", value=str(file), visible=True)

    for event in (wanted.change, gr.Timer(TICK).tick):
        event(look, [wanted, drawn], [table, listed, drawn], **ALL_AT_ONCE)
    table.select(choose, listed, page.shown, **ALL_AT_ONCE)
    delete.click(remove, page.shown, [page.shown, deleted, undo], **QUIETLY)
    undo.click(bring_back, deleted, [page.shown, undo], **QUIETLY)
    prepare.click(pack, page.shown, ready, api_visibility="private")


def matching(opened: OpenRuns, text: str, users: Users | None = None) -> dict[str, list[str]]:
    """The rows of the newest runs that have every word of a text, by the id of the run.

    Args:
        opened: The runs.
        text: Words in any order; none for all runs.
        users: Who may log in; None for a table without owners.
    """
    words, found = (text or "").casefold().split(), {}
    for run in runs(opened.root):
        row = _row(opened, run.id, run.status.state, run.status.heartbeat)
        owner = run.config.owner or ""
        told = " ".join([run.id, run.config.name or "", owner, *row]).casefold()
        if all(word in told for word in words):
            found[run.id] = [*row, _owner_html(owner, users)] if users else row
        if len(found) == MOST:
            break
    return found


@lru_cache(maxsize=5 * MOST)
def _row(opened: OpenRuns, run_id: str, _state: str, _heartbeat: float) -> list[str]:
    """The cells of a run, which change when its status does: its events are not read each time."""
    run = opened.find(run_id)
    return [""] * len(COLUMNS) if run is None else row_of(run)


def _owner_html(owner: str, users: Users) -> str:
    dot = f'<span class="dot" style="background:{users.color(owner)}"></span>'
    return f"{dot}{html.escape(owner)}" if owner else ""


def row_of(run: Run) -> list[str]:
    """The cells of a run, in the order of `COLUMNS`.

    Args:
        run: The run.
    """
    row = run.summary()
    what = " + ".join(short_names(row["components"]))
    return [
        what,
        row["stage"].replace("-", " "),
        state_words(row),
        "" if row["step"] is None else f"{row['step']} of {row['total_steps']}",
        outcome_label(run, row["metrics"]),
        datetime.fromtimestamp(row["created"]).strftime("%Y-%m-%d %H:%M"),
    ]

"""Runs as files: the buttons that export the shown run, and that import one."""

import re
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from manticore.archive import export_run, import_run
from manticore.runs import Run, RunConfig
from manticore.views.wording import size_label

from .guard import LARGEST_RUN
from .open_runs import LOADING
from .page import QUIETLY, Page, user_of, warn
from .texts import Texts
from .uploads import FOLDER, PREFIX

LARGEST_UNPACKED = 2 * LARGEST_RUN
"""Bytes of a run that is imported: weights hardly shrink when they are packed."""
ELSEWHERE = "elsewhere"
"""A folder that is never made: texts that the page may not read are said to be in it."""


def import_button(page: Page) -> None:
    """Lay out the button that makes a run of an uploaded zip file, and shows it.

    Args:
        page: What the tabs share.
    """
    button = gr.UploadButton(
        "Import",
        file_types=[".zip"],
        size="md",
        scale=1,
        min_width=120,
        visible=page.takes_runs,
        elem_id="runs-import",
    )

    def take(file: str, request: gr.Request) -> Any:
        path = Path(file)
        try:
            if not page.takes_runs:
                raise ValueError("This page takes no runs: use `manticore import FILE`.")
            run = take_in(page, path, user_of(request))
        except (ValueError, LookupError, OSError) as error:
            warn(error, "Not imported")
            return gr.skip()
        finally:
            # It may be large, and what it held is among the runs now, or nowhere.
            path.unlink(missing_ok=True)
        gr.Info("The run is imported.")
        return gr.Dropdown(choices=page.runs.choices(), value=run.id)

    button.upload(take, button, page.shown, api_visibility="private")


def take_in(page: Page, file: Path, user: str | None) -> Run:
    """Import a run as a visitor may: it belongs to them, and reads nothing that they may not.

    Args:
        page: What the tabs share.
        file: The zip file.
        user: Name of the user; None on a page without logins.

    Raises:
        ValueError, LookupError, OSError: It cannot be imported; the message is for the reader.
    """

    def admit(config: RunConfig) -> RunConfig:
        source = config.data.get("source")
        if source is None:
            return config
        found = _readable(page.texts, source, page.runs.root)
        return config.model_copy(update={"data": {**config.data, "source": found}})

    if file.suffix.lower() != ".zip":
        raise ValueError(f"{file.name!r:.80} is not a zip file: choose one that Export has made.")
    with LOADING:
        return import_run(
            file, page.runs.root, owner=user, most_bytes=LARGEST_UNPACKED, admit=admit
        )


def _readable(texts: Texts, source: str, root: Path) -> str:
    """The text of a run, if visitors may read it; otherwise a path where there is nothing.

    Later stages continue on the text of a run without asking who chose it.
    """
    uploads = root / FOLDER
    name = f"{PREFIX}{Path(source).name}" if Path(source).parent == uploads else source
    try:
        return texts.source(name)
    except ConnectionError:  # a data set of the hub, which is looked up again when it is read
        return source
    except (ValueError, LookupError, OSError):
        kept = re.sub(r"[^\w.-]+", "-", Path(source).name)[:80].lstrip(".-")
        return str(uploads / ELSEWHERE / (kept or "text"))


def export_buttons(page: Page) -> None:
    """Lay out the button that packs the shown run, and the one that downloads it.

    Args:
        page: What the tabs share.
    """
    prepare = gr.Button("Export", size="sm", scale=0, min_width=110, elem_id="runs-export")
    ready = gr.DownloadButton(
        "Download",
        size="sm",
        scale=0,
        min_width=150,
        variant="primary",
        visible=False,
        elem_id="runs-download",
    )
    exports = tempfile.TemporaryDirectory(prefix="manticore-export-")

    def pack(run_id: str | None) -> Any:
        run = page.runs.find(run_id)
        try:
            if run is None:
                raise LookupError("Choose a run first: select its row.")
            file = export_run(run, Path(exports.name) / f"{run.id}.zip")
        except (LookupError, OSError) as error:
            warn(error, "Not exported")
            return gr.DownloadButton(visible=False)
        label = f"Download {size_label(file.stat().st_size)}"
        return gr.DownloadButton(label, value=str(file), visible=True)

    prepare.click(pack, page.shown, ready, api_visibility="private")
    page.shown.change(lambda: gr.DownloadButton(visible=False), None, ready, **QUIETLY)

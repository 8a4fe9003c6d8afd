"""What every tab of the page is given, and what Gradio is told for each event."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from .open_runs import OpenRuns
from .texts import Texts

QUIETLY: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""For events that need no sign of waiting."""
ALL_AT_ONCE: dict[str, Any] = {**QUIETLY, "concurrency_limit": None}
"""For looks at a run, which must not queue behind each other."""


@dataclass(frozen=True)
class Page:
    """What the tabs share.

    Attributes:
        runs: The runs under the page's folder.
        shown: The list of runs; its value is the id of the run that is shown.
        asking: What mixing by hand is measured on: a `text` and a `prompt`.
        texts: The texts that the page may read.
        tab_of: Title of the tab that shows the runs of a stage.
    """

    runs: OpenRuns
    shown: gr.Dropdown
    asking: gr.State
    texts: Texts
    tab_of: Callable[[str], str]

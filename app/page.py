"""What every tab of the page is given, and what Gradio is told for each event."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from manticore.runs import Run, RunError
from manticore.views.wording import explain

from .components import Components
from .known import Known
from .open_runs import OpenRuns
from .texts import Texts
from .users import Users, not_theirs

if TYPE_CHECKING:
    from .looks import Looks

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
        components: The components that visitors may name.
        known: What is known of components before they are loaded.
        users: Who may log in; None for a page without logins.
        at_once: How many runs of the page may work at the same time; others wait.
        tab_of: Title of the tab that shows the runs of a stage.
        takes_runs: Whether visitors may import runs.
        looks: When to look at a run again.
    """

    runs: OpenRuns
    shown: gr.Dropdown
    asking: gr.State
    texts: Texts
    components: Components
    known: Known
    users: Users | None
    at_once: int
    tab_of: Callable[[str], str]
    takes_runs: bool
    looks: "Looks"


def user_of(request: gr.Request | None) -> str | None:
    """Name of the user who sent a request; None on a page without logins."""
    return getattr(request, "username", None)


def check_theirs(run: Run, request: gr.Request | None) -> None:
    """Refuse a change of a run that belongs to another user.

    Raises:
        RunError: It does; the message says whose it is.
    """
    if why := not_theirs(run, user_of(request)):
        raise RunError(why)


def warn(problem: Exception | str, title: str = "Warning") -> None:
    """Show a warning for a while; what a visitor or a file gave is never markup.

    Args:
        problem: An error, or a sentence.
        title: Two or three words.
    """
    text = problem if isinstance(problem, str) else explain(problem)
    gr.Warning(html.escape(text, quote=False), title=title, duration=12)

"""The tabs of the page: to add one, write it in a file of its own and add it to this list."""

from collections.abc import Callable
from dataclasses import dataclass

from . import chat_tab, mix_tab, program_tab, runs_tab, search_tab
from .page import Page


@dataclass(frozen=True)
class Tab:
    """One tab.

    Attributes:
        id: Name in the page.
        title: What its label says.
        build: Lays the tab out and wires it, given what all tabs share.
        shows: Whether runs of a stage are shown on it.
    """

    id: str
    title: str
    build: Callable[[Page], None]
    shows: Callable[[str], bool] = lambda _stage: False


TABS: list[Tab] = [
    Tab("search", "Build and search", search_tab.build, search_tab.VIEW.shows),
    Tab("mix", "Mix", mix_tab.build),
    Tab("program", "Program", program_tab.build, program_tab.VIEW.shows),
    Tab("chat", "Chat", chat_tab.build),
    Tab("runs", "Runs", runs_tab.build),
]


def tab_for(stage: str) -> Tab:
    """The tab that shows the runs of a stage: of several the last, of none the first of all."""
    return next((tab for tab in reversed(TABS) if tab.shows(stage)), TABS[0])

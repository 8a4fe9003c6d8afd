"""Looks at a run again and again, while somebody sees the tab that shows it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.components import Component


class Looks:
    """What the page looks at again and again: that of a tab only while the tab is seen.

    Each look costs the server some milliseconds for every open page, and a hidden tab needs none. A
    figure that is sent to a tab while Gradio is still making its parts may be lost, so all that a
    tab shows is sent again once it is seen.

    Args:
        first: Id of the tab that is seen at first.
    """

    def __init__(self, first: str) -> None:
        self._first = first
        self._tab: gr.Tab | None = None
        self._timers: list[tuple[str, gr.Timer]] = []
        self._states: list[tuple[str, gr.State]] = []

    @contextmanager
    def within(self, tab: gr.Tab) -> Iterator[None]:
        """What is laid out meanwhile is looked at while a tab is seen.

        Args:
            tab: The tab.
        """
        self._tab = tab
        try:
            yield
        finally:
            self._tab = None

    def again(self, seconds: float, drawn: gr.State | None = None) -> list[Callable[..., Any]]:
        """The events at which to look: the ticks of a timer, and a click on the tab.

        Args:
            seconds: Time between two looks.
            drawn: What the last look has drawn; it becomes None when the tab is seen again, so that
                the next look draws everything.
        """
        if self._tab is None:
            return [gr.Timer(seconds).tick]
        tab = str(self._tab.id)
        timer = gr.Timer(seconds, active=tab == self._first)
        self._timers.append((tab, timer))
        if drawn is not None:
            self._states.append((tab, drawn))
        return [timer.tick, self._tab.select]

    @property
    def followers(self) -> list[Component]:
        """What changes when another tab is seen: the timers of all tabs, and what was drawn."""
        return [follower for _, follower in [*self._timers, *self._states]]

    def seen(self, told: Mapping[str, str] | None) -> list[Any]:
        """Updates of `followers` for the tab that is seen now.

        Args:
            told: Its id as `tab`, from a browser; all tabs are looked at if it is not known.
        """
        tab = (told or {}).get("tab")
        known = any(tab == id_ for id_, _ in self._timers)
        return [
            *(gr.Timer(active=not known or tab == id_) for id_, _ in self._timers),
            *(None if tab == id_ else gr.skip() for id_, _ in self._states),
        ]

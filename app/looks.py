"""Looks at a run again and again, while somebody sees the tab that shows it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from .page import ALL_AT_ONCE


class Looks:
    """What the page looks at again and again: that of a tab only while the tab is seen.

    Each look costs the server some milliseconds for every open page, and a hidden tab needs none.
    It costs the browser time for every output, even if nothing is new: so a look has one output,
    and only what it notices is drawn.

    Args:
        first: Id of the tab that is seen at first.
    """

    def __init__(self, first: str) -> None:
        self._first = first
        self._tab: gr.Tab | None = None
        self._timers: list[tuple[str, gr.Timer]] = []

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

    def noticed(
        self, seconds: float, stamp: Callable[..., object], inputs: Sequence[Block]
    ) -> Callable[..., Any]:
        """The event that something has changed.

        Args:
            seconds: Time between two looks.
            stamp: What is looked at, given the values of the inputs: drawn anew where it changes.
            inputs: The inputs.
        """
        last = gr.State(None)

        def look(*values: Any) -> Any:
            now = repr(stamp(*values[:-1]))
            return gr.skip() if now == values[-1] else now

        for event in self._events(seconds):
            event(look, [*inputs, last], last, **ALL_AT_ONCE)
        return last.change

    def _events(self, seconds: float) -> list[Callable[..., Any]]:
        """The events at which to look: the ticks of a timer, and that the tab is chosen."""
        if self._tab is None:
            return [gr.Timer(seconds).tick]
        tab = str(self._tab.id)
        timer = gr.Timer(seconds, active=tab == self._first)
        self._timers.append((tab, timer))
        return [timer.tick, self._tab.select]

    @property
    def timers(self) -> list[Component]:
        """The timers of all tabs."""
        return [timer for _, timer in self._timers]

    def seen(self, told: Mapping[str, str] | None) -> list[gr.Timer]:
        """Updates of `timers` for the tab that is seen now.

        Args:
            told: Its id as `tab`, from a browser; all tabs are looked at if it is not known.
        """
        tab = (told or {}).get("tab")
        known = any(tab == id_ for id_, _ in self._timers)
        return [gr.Timer(active=not known or tab == id_) for id_, _ in self._timers]

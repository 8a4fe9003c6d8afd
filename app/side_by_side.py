"""The components continue what the hybrid has continued, one after the other, in columns."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import gradio as gr

from manticore.views.side_by_side import Column, side_by_side_html
from manticore.views.wording import explain

from .chat_session import Answer, Update, note
from .open_runs import OpenRuns, hybrid_of
from .stops import COMPONENTS, Stops


def compare(
    opened: OpenRuns, stops: Stops, visitor: str, is_wanted: bool, finished: Answer | None
) -> Iterator[Update]:
    """Updates of the columns, one for every piece that a component writes.

    Args:
        opened: The runs.
        stops: What stops the components.
        visitor: Session of the visitor.
        is_wanted: Whether the visitor wants to see the components at all.
        finished: The hybrid's answer, if there is one.
    """
    run = opened.find(finished.run_id) if finished else None
    if run is None or finished is None or not is_wanted:
        stops.stop(visitor, COMPONENTS, drop=True)
        yield {"columns": "", "stop_components": gr.Button(visible=False)}
        return
    # Here, because torch takes seconds to import and the page must open at once.
    from manticore.hybrid.streaming import stream

    with stops.writing(visitor, COMPONENTS) as stop:
        try:
            hybrid = hybrid_of(run)
            columns = [Column(name) for name in hybrid.component_names]
            for k in range(len(columns)):
                if not stop.is_set():
                    columns[k] = replace(columns[k], state="writing")
                    yield _shown(columns, is_writing=True)
                    sampling = vars(finished.sampling)
                    with closing(
                        stream(hybrid, finished.prompt, component=k, stop=stop, **sampling)
                    ) as pieces:
                        for written in pieces:
                            if stop.is_dropped:
                                return
                            columns[k] = replace(columns[k], text=written.text)
                            yield _shown(columns, is_writing=True)
                columns[k] = replace(columns[k], state="stopped" if stop.is_set() else "done")
            yield _shown(columns, is_writing=False)
        except (OSError, ValueError, RuntimeError) as error:
            yield {"columns": note(explain(error)), "stop_components": gr.Button(visible=False)}


def _shown(columns: list[Column], *, is_writing: bool) -> Update:
    return {
        "columns": side_by_side_html(columns),
        "stop_components": gr.Button(visible=is_writing),
    }

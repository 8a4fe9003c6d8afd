"""The tab where a run's hybrid continues what one writes."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from manticore.views.plots import outcome_figure, perplexity_figure

from .open_runs import OpenRuns, hybrid_of
from .page import ALL_AT_ONCE, QUIETLY, Page, warn

WAITING = "…"
EXAMPLES = [
    "Once upon a time",
    "There was an old king who had three sons, and",
    "The fox looked at the lantern and said,",
    "Había una vez",
    "def read(path",
]
HOW = (
    "The bundled components continue stories or code and have not been trained to answer: write a "
    "beginning, and the hybrid continues it. Everything above is part of the prompt."
)


def build(page: Page) -> None:
    """Lay the tab out and wire it.

    Args:
        page: What the tabs share.
    """
    gr.Markdown(HOW)
    with gr.Row():
        with gr.Column(scale=8, min_width=420):
            chat = gr.Chatbot(
                height=460,
                show_label=False,
                elem_id="chat",
                buttons=["copy"],
                placeholder="**Nothing written yet**<br>Write a beginning below.",
            )
            with gr.Row():
                message = gr.Textbox(
                    placeholder="Once upon a time",
                    show_label=False,
                    scale=8,
                    lines=1,
                    max_lines=6,
                    elem_id="message",
                )
                send = gr.Button("Continue", variant="primary", scale=1, elem_id="send")
                stop = gr.Button("Stop", scale=1, elem_id="stop-writing")
            gr.Examples(EXAMPLES, message, label="Beginnings")
        with gr.Column(scale=4, min_width=300):
            bars = gr.Plot(perplexity_figure(None), show_label=False, elem_id="chat-perplexity")
            temperature = gr.Slider(0, 1.5, value=0.8, step=0.05, label="Temperature")
            top_p = gr.Slider(0.05, 1, value=0.95, step=0.05, label="Top-p")
            length = gr.Slider(8, 256, value=96, step=8, label="Maximum new tokens")
            clear = gr.Button("New text", size="sm", elem_id="clear")

    def write(
        run_id: str | None, beginning: str, history: list[dict[str, Any]], *sampling: float
    ) -> Iterator[Any]:
        yield from answer(page.runs, run_id, beginning, history, *sampling)

    inputs = [page.shown, message, chat, temperature, top_p, length]
    writing: list[dict[str, Any]] = [
        event(write, inputs, [chat, message], concurrency_limit=4, **QUIETLY)
        for event in (send.click, message.submit)
    ]
    stop.click(None, cancels=writing, api_visibility="private")
    clear.click(lambda: [], None, chat, cancels=writing, **QUIETLY)

    def show_outcome(run_id: str | None, before: Any) -> Any:
        run = page.runs.find(run_id)
        measured = [] if run is None else [e for e in run.events() if e["kind"] == "eval"]
        now = (run and run.id, len(measured))
        if before == now:
            return gr.skip()
        if run is None:
            return perplexity_figure(None), now
        return outcome_figure(measured, run.config.stage, run.id), now

    seen = gr.State(None)
    for event in (page.shown.change, gr.Timer(5).tick):
        event(show_outcome, [page.shown, seen], [bars, seen], **ALL_AT_ONCE)


def answer(
    opened: OpenRuns,
    run_id: str | None,
    beginning: str,
    history: list[dict[str, Any]],
    temperature: float,
    top_p: float,
    length: float,
) -> Iterator[Any]:
    """Updates of the chat and the message box, one for every piece that the hybrid writes.

    Args:
        opened: The runs.
        run_id: Id of the run whose hybrid writes.
        beginning: What the visitor wrote.
        history: Messages of the chat so far.
        temperature: Sampling temperature; 0 takes the likeliest token.
        top_p: Nucleus mass.
        length: Maximum number of new tokens.
    """
    # Here, because torch takes seconds to import and the page must open at once.
    from manticore.hybrid.streaming import continue_text

    if not beginning.strip():
        yield gr.skip(), gr.skip()
        return
    run = opened.find(run_id)
    if run is None:
        gr.Warning("Choose a run above, or start one, to chat with its hybrid.")
        yield gr.skip(), gr.skip()
        return
    history = [message for message in history if not _is_waiting(message)]
    history = [*history, said("user", beginning)]
    yield [*history, said("assistant", WAITING)], ""
    written = ""
    try:
        pieces = continue_text(
            hybrid_of(run),
            text_so_far(history),
            max_new_tokens=int(length),
            temperature=temperature,
            top_p=top_p,
        )
        for written in pieces:
            # The message box is left alone: somebody may be writing in it already.
            yield [*history, said("assistant", written or WAITING)], gr.skip()
        if not written:
            yield history, gr.skip()
    except (OSError, ValueError, RuntimeError) as error:
        warn(error, "No text")
        yield history[:-1], beginning


def said(role: str, text: str) -> dict[str, Any]:
    """One message in the form of the chat component."""
    return {"role": role, "content": [{"type": "text", "text": text}]}


def _is_waiting(message: dict[str, Any]) -> bool:
    """Whether a message is only the placeholder of an answer, left by one that was stopped."""
    return message["role"] == "assistant" and text_so_far([message]) == WAITING


def text_so_far(history: list[dict[str, Any]]) -> str:
    """Everything that both have written, as one running text."""
    from manticore.hybrid.generation import join_texts

    return join_texts(
        "".join(block["text"] for block in message["content"] if block["type"] == "text")
        for message in history
    )

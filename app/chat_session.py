"""One answer of the chat: the hybrid is loaded, reads the text so far, and writes until a stop."""

import html
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from manticore.views.sampling import ended, seed_of, shortened
from manticore.views.wording import explain

from .open_runs import OpenRuns, hybrid_of
from .stops import COMPONENTS, HYBRID, Stops

if TYPE_CHECKING:
    from manticore.hybrid.streaming import Continuation

Message = dict[str, Any]
Update = dict[str, Any]
"""New values of parts of the tab, by the names of the parts."""

LOADING = "Loading the hybrid …"
WAITING = "…"
NO_RUN = "Choose a run above, or start one, to chat with its hybrid."
NO_TEXT = "The message is empty: write a beginning, or choose one of the examples."


@dataclass(frozen=True)
class Sampling:
    """How text is sampled.

    Attributes:
        temperature: Sampling temperature; 0 takes the likeliest token.
        top_p: Nucleus mass.
        max_new_tokens: Length of the longest answer, in tokens.
        seed: Random seed.
    """

    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int

    @classmethod
    def of(cls, temperature: float, top_p: float, length: float, seed: float | None) -> "Sampling":
        """The sampling that the tab's inputs describe; seed 0 or none draws a seed."""
        return cls(temperature, top_p, int(length), seed_of(seed))


# Two equal answers are two answers: the page compares them to see whether there is a new one.
@dataclass(frozen=True, eq=False)
class Answer:
    """A finished answer.

    Attributes:
        run_id: Id of the run whose hybrid wrote it.
        prompt: What the hybrid continued.
        written: What it wrote.
        sampling: How it was sampled.
    """

    run_id: str
    prompt: str
    written: "Continuation"
    sampling: Sampling


def answer(
    opened: OpenRuns,
    stops: Stops,
    visitor: str,
    run_id: str | None,
    beginning: str,
    history: Sequence[Message],
    sampling: Sampling,
) -> Iterator[Update]:
    """Updates of the tab, one for every piece that the hybrid writes.

    Args:
        opened: The runs.
        stops: What stops the hybrid.
        visitor: Session of the visitor.
        run_id: Id of the run whose hybrid writes.
        beginning: What the visitor wrote.
        history: Messages of the chat so far.
        sampling: How the answer is sampled.
    """
    run = opened.find(run_id)
    if run is None or not beginning.strip():
        yield {"status": note(NO_RUN if run is None else NO_TEXT)}
        return
    history = [*(message for message in history if not is_waiting(message))]
    history.append(said("user", beginning))
    stops.stop(visitor, COMPONENTS, drop=True)
    with stops.writing(visitor, HYBRID) as stop:
        yield {
            "chat": [*history, said("assistant", LOADING)],
            "message": "",
            "status": told("Loading the hybrid of this run. The first time takes some seconds."),
            "answer": None,
            **_buttons(is_writing=True),
        }
        prompt, written = "", None
        try:
            hybrid = hybrid_of(run)
            # Here, because torch takes seconds to import and the page must open at once; and after
            # the hybrid, which one thread at a time imports and loads.
            from manticore.hybrid.conversation import conversation_prompt
            from manticore.hybrid.generation import tokenizer_of
            from manticore.hybrid.streaming import stream

            prompt = conversation_prompt(tokenizer_of(hybrid), plain(history))
            yield {
                "chat": [*history, said("assistant", WAITING)],
                "status": told("The hybrid is writing."),
            }
            with closing(stream(hybrid, prompt, stop=stop, **vars(sampling))) as pieces:
                for written in pieces:
                    if stop.is_dropped:
                        return
                    # The message box is left alone: somebody may be writing in it already.
                    yield {"chat": [*history, said("assistant", written.text or WAITING)]}
        except (OSError, ValueError, RuntimeError) as error:
            yield {
                "chat": history[:-1],
                "message": beginning,
                "status": note(explain(error)),
                **_buttons(is_writing=False),
            }
            return
    assert written is not None, "the last piece always comes"
    finished = Answer(run.id, prompt, written, sampling) if written.ids else None
    yield {
        "chat": [*history, *([said("assistant", written.text)] if written.text else [])],
        "status": _ended(written, sampling, stop.is_set()),
        "answer": finished,
        **_buttons(is_writing=False),
    }


def authorship(opened: OpenRuns, finished: Answer | None) -> str:
    """Who wrote which word of an answer, as HTML; nothing without an answer.

    Args:
        opened: The runs.
        finished: The answer, if there is one.
    """
    run = opened.find(finished.run_id) if finished else None
    if run is None or finished is None:
        return ""
    from manticore.evaluate import who_wrote
    from manticore.views.authorship import authorship_html

    read = finished.written.prompt_ids
    try:
        found = who_wrote(hybrid_of(run), [*read, *finished.written.ids], start=len(read))
    except (OSError, ValueError, RuntimeError) as error:
        return note(explain(error))
    return authorship_html(found)


def _ended(written: "Continuation", sampling: Sampling, was_stopped: bool) -> str:
    """The status line once an answer has ended."""
    shown = told(ended(written, sampling.seed, was_stopped))
    left_out = shortened(written)
    return shown + note(left_out) if left_out else shown


def _buttons(*, is_writing: bool) -> Update:
    return {"send": gr.Button(visible=not is_writing), "stop": gr.Button(visible=is_writing)}


def told(text: str) -> str:
    """A status line, as HTML."""
    return f'<div class="status" role="status"><span>{html.escape(text)}</span></div>'


def note(text: str) -> str:
    """A status line that asks for something, as HTML."""
    return f'<div class="note" role="status">{html.escape(text)}</div>'


def said(role: str, text: str) -> Message:
    """One message in the form of the chat component."""
    return {"role": role, "content": [{"type": "text", "text": text}]}


def text_of(message: Message) -> str:
    """The text of a message of the chat component."""
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def plain(history: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as chat templates take them."""
    return [{"role": message["role"], "content": text_of(message)} for message in history]


def is_waiting(message: Message) -> bool:
    """Whether a message is only the placeholder of an answer, left by one that was stopped."""
    return message["role"] == "assistant" and text_of(message) in {WAITING, LOADING}

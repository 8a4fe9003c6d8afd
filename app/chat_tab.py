"""The tab where a run's hybrid continues what one writes: its layout, and what its parts do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

from manticore.runs import Run
from manticore.views.plots import outcome_figure, perplexity_figure
from manticore.views.sampling import LENGTH, PRESETS, USUAL

from .beginnings import beginnings_for, how_it_reads, label_of
from .chat_session import Message, Sampling, answer, authorship, text_of
from .page import ALL_AT_ONCE, QUIETLY, Page
from .side_by_side import compare
from .stops import COMPONENTS, HYBRID, Stops

EMPTY = "**Nothing written yet**<br>Choose a beginning here, or write your own below."
WRITING: dict[str, Any] = {**QUIETLY, "concurrency_limit": 4}

# Words are one stop for the Tab key; the arrow keys move between them. Their cards open near them.
ROVE = """
const words = () => [...element.querySelectorAll(".word")];
const settle = () => words().forEach((word, i) => { word.tabIndex = i ? -1 : 0; });
settle();
watch("value", settle);
element.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const all = words();
  const at = all.indexOf(document.activeElement);
  if (event.key === "Escape") document.activeElement.blur();
  if (!step || at < 0) return;
  event.preventDefault();
  all[Math.min(all.length - 1, Math.max(0, at + step))].focus();
});
for (const kind of ["pointerover", "focusin"]) {
  element.addEventListener(kind, (event) => {
    const word = event.target.closest(".word");
    const card = word?.querySelector(".card");
    if (!card) return;
    const room = word.offsetParent.clientWidth - card.offsetWidth;
    card.style.left = `${Math.max(0, Math.min(word.offsetLeft, room))}px`;
  });
}
"""


@dataclass
class Parts:
    """The tab's components that handlers change, by name."""

    named: dict[str, Component] = field(default_factory=dict)

    def updates(self, named: Mapping[str, Any]) -> dict[Component, Any]:
        """Values by name, as Gradio takes them."""
        return {self.named[name]: value for name, value in named.items()}

    def pick(self, *names: str) -> list[Component]:
        """Some of the components."""
        return [self.named[name] for name in names]


def build(page: Page) -> None:
    """Lay the tab out and wire it.

    Args:
        page: What the tabs share.
    """
    parts, stops = Parts(), Stops()
    parts.named["answer"] = gr.State(None)
    with gr.Row():
        with gr.Column(scale=8, min_width=320):
            _lay_out_chat(parts)
        with gr.Column(scale=4, min_width=300):
            _lay_out_settings(parts)
    _wire_answers(page, parts, stops)
    _wire_what_follows(page, parts, stops)
    _follow_run(page, parts)


def _lay_out_chat(parts: Parts) -> None:
    named = parts.named
    named["how"] = gr.Markdown(how_it_reads(None), elem_id="chat-how")
    named["chat"] = gr.Chatbot(
        height=440,
        show_label=False,
        elem_id="chat",
        buttons=["copy"],
        editable="user",
        render_markdown=False,
        placeholder=EMPTY,
    )
    with gr.Row(equal_height=True):
        named["message"] = gr.Textbox(
            placeholder="Write a beginning",
            label="Your message",
            show_label=False,
            scale=8,
            lines=1,
            max_lines=6,
            elem_id="message",
        )
        named["send"] = gr.Button("Continue", variant="primary", scale=1, elem_id="send")
        named["stop"] = gr.Button("Stop", scale=1, visible=False, elem_id="stop-writing")
    named["status"] = gr.HTML(elem_id="chat-status", padding=False)
    named["words"] = gr.HTML(elem_id="chat-words", padding=False, js_on_load=ROVE)
    with gr.Row(equal_height=True):
        named["compares"] = gr.Checkbox(
            label="Compare with the components",
            info="Each component continues the same text alone, one after the other",
            elem_id="compare",
        )
        named["stop_components"] = gr.Button(
            "Stop the components", size="sm", scale=0, visible=False, elem_id="stop-components"
        )
    named["columns"] = gr.HTML(elem_id="chat-columns", padding=False)


def _lay_out_settings(parts: Parts) -> None:
    named = parts.named
    named["preset"] = gr.Radio(
        list(PRESETS),
        value=USUAL,
        label="Sampling",
        info="How likely the words are that the hybrid chooses",
        elem_id="preset",
    )
    with gr.Accordion("More", open=False):
        temperature, top_p = PRESETS[USUAL]
        named["temperature"] = gr.Slider(0, 1.5, value=temperature, step=0.05, label="Temperature")
        named["top_p"] = gr.Slider(0.05, 1, value=top_p, step=0.05, label="Top-p")
        named["length"] = gr.Slider(8, 256, value=LENGTH, step=8, label="Maximum new tokens")
        named["seed"] = gr.Number(
            0,
            precision=0,
            minimum=0,
            label="Seed",
            info="The same seed gives the same text; 0 = a different one each time",
            elem_id="chat-seed",
        )
    named["clear"] = gr.Button("New text", size="sm", elem_id="clear")
    named["bars"] = gr.Plot(perplexity_figure(None), show_label=False, elem_id="chat-perplexity")


def _wire_answers(page: Page, parts: Parts, stops: Stops) -> None:
    """What makes the hybrid write, and what stops it."""
    named = parts.named
    chat: Any = named["chat"]
    message: Any = named["message"]
    sampled = parts.pick("temperature", "top_p", "length", "seed")
    outputs = parts.pick("chat", "message", "status", "answer", "send", "stop")

    def write(
        request: gr.Request,
        run_id: str | None,
        text: str,
        history: list[Message],
        *sampling: Any,
    ) -> Iterator[Any]:
        visitor, chosen = str(request.session_hash), Sampling.of(*sampling)
        for update in answer(page.runs, stops, visitor, run_id, text, history, chosen):
            yield parts.updates(update)

    def write_example(
        picked: gr.SelectData, request: gr.Request, run_id: str | None, *sampling: Any
    ) -> Iterator[Any]:
        yield from write(request, run_id, picked.value["text"], [], *sampling)

    def write_again(
        picked: gr.RetryData,
        request: gr.Request,
        run_id: str | None,
        history: list[Message],
        *sampling: Any,
    ) -> Iterator[Any]:
        at = _index(picked.index)
        yield from write(request, run_id, text_of(history[at]), history[:at], *sampling)

    def write_edited(
        picked: gr.EditData,
        request: gr.Request,
        run_id: str | None,
        history: list[Message],
        *sampling: Any,
    ) -> Iterator[Any]:
        at = _index(picked.index)
        yield from write(request, run_id, str(picked.value), history[:at], *sampling)

    gr.on(
        [named["send"].click, message.submit],  # pyright: ignore[reportAttributeAccessIssue]
        write,
        [page.shown, message, chat, *sampled],
        outputs,
        **WRITING,
    )
    chat.example_select(write_example, [page.shown, *sampled], outputs, **WRITING)
    chat.retry(write_again, [page.shown, chat, *sampled], outputs, **WRITING)
    chat.edit(write_edited, [page.shown, chat, *sampled], outputs, **WRITING)

    def stop(request: gr.Request) -> None:
        stops.stop(str(request.session_hash), HYBRID)

    named["stop"].click(stop, None, None, **ALL_AT_ONCE)  # pyright: ignore[reportAttributeAccessIssue]
    _wire_going_back(parts, stops)


def _wire_going_back(parts: Parts, stops: Stops) -> None:
    """Undo a message, or begin a new text."""
    named = parts.named
    chat: Any = named["chat"]
    outputs = parts.pick("chat", "message", "status", "answer", "send", "stop")

    def back_to(request: gr.Request, history: list[Message], text: Any) -> Any:
        stops.stop(str(request.session_hash), HYBRID, drop=True)
        stops.stop(str(request.session_hash), COMPONENTS, drop=True)
        buttons = {"send": gr.Button(visible=True), "stop": gr.Button(visible=False)}
        update = {"chat": history, "message": text, "status": "", "answer": None, **buttons}
        return parts.updates(update)

    def undo(picked: gr.UndoData, request: gr.Request, history: list[Message]) -> Any:
        at = _index(picked.index)
        return back_to(request, history[:at], text_of(history[at]))

    def clear(request: gr.Request) -> Any:
        return back_to(request, [], gr.skip())

    chat.undo(undo, chat, outputs, **ALL_AT_ONCE)
    gr.on([named["clear"].click, chat.clear], clear, None, outputs, **ALL_AT_ONCE)  # pyright: ignore[reportAttributeAccessIssue]


def _wire_what_follows(page: Page, parts: Parts, stops: Stops) -> None:
    """What is shown of an answer once it is there, and how text is sampled."""
    named: dict[str, Any] = parts.named
    outputs = parts.pick("columns", "stop_components")

    def show_components(request: gr.Request, is_wanted: bool, finished: Any) -> Iterator[Any]:
        visitor = str(request.session_hash)
        for update in compare(page.runs, stops, visitor, is_wanted, finished):
            yield parts.updates(update)

    def stop(request: gr.Request) -> None:
        stops.stop(str(request.session_hash), COMPONENTS)

    inputs = [named["compares"], named["answer"]]
    coloring = named["answer"].change(
        lambda finished: authorship(page.runs, finished),
        named["answer"],
        named["words"],
        **ALL_AT_ONCE,
    )
    coloring.then(show_components, inputs, outputs, **WRITING)
    # Whoever takes an answer back while its words are colored is not to see them afterwards.
    coloring.then(
        lambda finished: "" if finished is None else gr.skip(),
        named["answer"],
        named["words"],
        **ALL_AT_ONCE,
    )
    named["compares"].change(show_components, inputs, outputs, **WRITING)
    named["stop_components"].click(stop, None, None, **ALL_AT_ONCE)

    levels = [named["temperature"], named["top_p"]]
    named["preset"].input(lambda name: PRESETS[name], named["preset"], levels, **ALL_AT_ONCE)
    for level in levels:
        level.input(lambda: None, None, named["preset"], **ALL_AT_ONCE)


def _follow_run(page: Page, parts: Parts) -> None:
    """Say how the chosen run's hybrid reads, offer beginnings, and show what was measured."""
    named: dict[str, Any] = parts.named

    def introduce(run_id: str | None) -> Any:
        run = page.runs.find(run_id)
        examples: list[Any] = [
            {"text": text, "display_text": label_of(text)} for text in beginnings_for(run)
        ]
        return how_it_reads(run), gr.Chatbot(examples=examples)

    def measured_of(run: Run | None) -> list[dict[str, Any]]:
        events = [] if run is None else run.thinned_events()[0]
        return [event for event in events if event["kind"] == "eval"]

    def show_outcome(run_id: str | None, before: Any) -> Any:
        run = page.runs.find(run_id)
        measured = measured_of(run)
        now = (run and run.id, len(measured))
        if before == now:
            return gr.skip()
        if run is None:
            return perplexity_figure(None), now
        return outcome_figure(measured, run.config.stage, run.id), now

    page.shown.change(introduce, page.shown, parts.pick("how", "chat"), **ALL_AT_ONCE)
    seen = gr.State(None)

    def stamp(run_id: str | None) -> int:
        return len(measured_of(page.runs.find(run_id)))

    for event in (page.shown.change, page.looks.noticed(5, stamp, [page.shown])):
        event(show_outcome, [page.shown, seen], [named["bars"], seen], **ALL_AT_ONCE)


def _index(index: int | tuple[int, int]) -> int:
    """The index of a message, of which the chat may also name the part."""
    return index if isinstance(index, int) else index[0]

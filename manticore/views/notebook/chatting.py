"""A chat with a hybrid in a cell: it writes in a thread, and cells can be run meanwhile."""

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import traitlets

from manticore.evaluate import who_wrote
from manticore.evaluate.by_hand import continuing_tokenizer
from manticore.hybrid.conversation import conversation_prompt
from manticore.hybrid.streaming import Continuation, stream
from manticore.views.authorship import authorship_html
from manticore.views.diagram.scene import PROMPT
from manticore.views.drawing import drawing_source
from manticore.views.notebook.widget import Widget, own_source
from manticore.views.sampling import LENGTH, PRESETS, USUAL, ended, seed_of, shortened
from manticore.views.wording import explain

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

WRITING = "The hybrid is writing."
NO_TEXT = "The message is empty: write a beginning."
UPDATE_EVERY = 0.1
"""Seconds between updates of an answer that is being written."""


class ChatWidget(Widget):
    """A chat: the hybrid continues what is written, and then the words get their colors.

    Args:
        hybrid: The hybrid with its tokenizer. Another one may be put in its place at any time.
        beginning: What is continued if nothing was written.
    """

    _esm = drawing_source() + own_source("chat_widget.js")
    messages = traitlets.List().tag(sync=True)
    """What was written: [role, text] each, the roles being `user` and `assistant`."""
    is_writing = traitlets.Bool(False).tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    """What is told below the messages: what happens, how an answer ended, what went wrong."""
    words = traitlets.Unicode().tag(sync=True)
    """The last answer in the colors of the components, as HTML."""
    beginning = traitlets.Unicode().tag(sync=True)
    temperature = traitlets.Float(PRESETS[USUAL][0], min=0.0).tag(sync=True)
    top_p = traitlets.Float(PRESETS[USUAL][1], min=0.0, max=1.0).tag(sync=True)
    length = traitlets.Int(LENGTH, min=1).tag(sync=True)
    """Tokens of the longest answer."""
    seed = traitlets.Int(0, min=0).tag(sync=True)
    """Random seed; 0 = another one each time."""

    def __init__(self, hybrid: "ManticoreForCausalLM", beginning: str = PROMPT) -> None:
        self._stop = threading.Event()  # before all that may fail: `close` needs it
        self._thread = threading.Thread()
        continuing_tokenizer(hybrid, beginning)
        self.hybrid = hybrid
        super().__init__(beginning=beginning)
        self.on_msg(self._heard)

    def describe(self) -> str:
        """The widget in a line."""
        return f"A chat with {' + '.join(self.hybrid.config.component_names)}"

    def say(self, text: str) -> None:
        """Write a message and have the hybrid continue; `wait` waits for the end of the answer.

        Args:
            text: The message.

        Raises:
            RuntimeError: The hybrid is writing already.
            ValueError: The message is empty.
        """
        if not text.strip():
            raise ValueError(NO_TEXT)
        self._answer([*self.messages, ["user", text]])

    def again(self) -> None:
        """Have the last message continued again.

        Raises:
            RuntimeError: The hybrid is writing already.
            ValueError: There is no message.
        """
        asked = [i for i, (role, _) in enumerate(self.messages) if role == "user"]
        if not asked:
            raise ValueError(NO_TEXT)
        self._answer(self.messages[: asked[-1] + 1])

    def stop(self) -> None:
        """Stop writing after the current token, and wait until what was written is shown."""
        self._stop.set()
        self.wait()

    def clear(self) -> None:
        """Begin a new text."""
        self.stop()
        self.messages, self.words, self.note = [], "", ""

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the answer is written and its words have their colors.

        Args:
            timeout: Seconds; None waits for ever.
        """
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def close(self) -> None:
        """Stop writing, and take the chat away."""
        self._stop.set()
        super().close()

    def _heard(self, _widget: Any, asked: dict[str, Any], _buffers: Any) -> None:
        """Do what the front end asks; it hears of problems in `note`."""
        try:
            if "say" in asked:
                self.say(asked["say"])
            elif "again" in asked:
                self.again()
            elif "stop" in asked:
                self._stop.set()
            elif "clear" in asked:
                self.clear()
        except (ValueError, RuntimeError) as error:
            self.note = explain(error)

    def _answer(self, messages: list[list[str]]) -> None:
        if self.is_writing:
            raise RuntimeError("The hybrid is writing: stop it first, or wait for its end.")
        self._stop = stop = threading.Event()
        self.is_writing, self.note, self.words = True, WRITING, ""
        self.messages = messages
        self._thread = threading.Thread(
            target=self._write, args=(messages, stop), name="chat", daemon=True
        )
        self._thread.start()

    def _write(self, messages: list[list[str]], stop: threading.Event) -> None:
        hybrid, seed = self.hybrid, seed_of(self.seed)
        try:
            try:
                written = self._stream(hybrid, messages, stop, seed)
                told = (ended(written, seed, stop.is_set()), shortened(written))
                self.note = " ".join(filter(None, told))
            finally:
                self.is_writing = False
            words = ""
            if written.ids:
                ids = [*written.prompt_ids, *written.ids]
                words = authorship_html(who_wrote(hybrid, ids, start=len(written.prompt_ids)))
        except (OSError, ValueError, RuntimeError) as error:
            words = ""
            if self._stop is stop:
                self.note = explain(error)
        # Another answer may have been begun while this one was colored.
        if self._stop is stop:
            self.words = words

    def _stream(
        self,
        hybrid: "ManticoreForCausalLM",
        messages: list[list[str]],
        stop: threading.Event,
        seed: int,
    ) -> Continuation:
        """Show an answer as it is written, and return it."""
        tokenizer = continuing_tokenizer(hybrid, messages[-1][1])
        plain = [{"role": role, "content": text} for role, text in messages]
        prompt = conversation_prompt(tokenizer, plain)
        given: dict[str, Any] = {"temperature": self.temperature, "top_p": self.top_p}
        pieces = stream(hybrid, prompt, max_new_tokens=self.length, seed=seed, stop=stop, **given)
        pause, written = threading.Event(), None
        with closing(pieces):
            for written in pieces:
                self.messages = [*messages, ["assistant", written.text]]
                pause.wait(UPDATE_EVERY)
        assert written is not None, "the last piece always comes"
        return written


def chat(hybrid: "ManticoreForCausalLM", beginning: str = PROMPT) -> ChatWidget:
    """A chat with a hybrid in a notebook.

    Args:
        hybrid: The hybrid with its tokenizer.
        beginning: What is continued if nothing was written.

    Raises:
        ValueError: The hybrid has no tokenizer, or the beginning is empty.
    """
    return ChatWidget(hybrid, beginning)

"""`hybrid.chat()` as a Python object: what the front end asks, and what is written."""

import threading
from collections.abc import Callable, Iterator

import pytest

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.evaluate.authorship import WhoWrote
from manticore.hybrid.generation import sample_text
from manticore.views.notebook import chatting
from manticore.views.notebook.chatting import NO_TEXT, ChatWidget


@pytest.fixture
def hybrid(component: Callable[..., str]) -> ManticoreForCausalLM:
    return build_hybrid([component("gpt_neox"), component("mamba", width=24)], n_blocks=2)


@pytest.fixture
def chat(hybrid: ManticoreForCausalLM) -> Iterator[ChatWidget]:
    widget = hybrid.chat("The fox")
    widget.length, widget.seed = 6, 3
    yield widget
    widget.close()
    widget.wait()


def ask(chat: ChatWidget, **asked: object) -> None:
    chat._handle_custom_msg(asked, [])


def test_an_answer_is_written_and_its_words_are_colored(chat, hybrid) -> None:
    ask(chat, say="The fox")
    chat.wait()
    (_, asked), (_, written) = chat.messages
    whole = sample_text(
        hybrid, "The fox", 6, seed=3, temperature=chat.temperature, top_p=chat.top_p
    )
    assert asked + written == whole
    assert not chat.is_writing
    assert chat.note.startswith("Done · 6 tokens · seed 3")
    assert 'class="word"' in chat.words
    assert repr(chat) == "A chat with " + " + ".join(hybrid.component_names)


def test_writing_again_gives_another_answer_to_the_same_text(chat) -> None:
    chat.say("The fox")
    chat.wait()
    first = chat.messages
    chat.seed = 4
    ask(chat, again=True)
    chat.wait()
    assert chat.messages[0] == first[0]
    assert chat.messages[1] != first[1]
    assert len(chat.messages) == 2


def test_a_conversation_goes_into_the_prompt(chat) -> None:
    for message in ("The fox", "and then"):
        chat.say(message)
        chat.wait()
    assert [role for role, _ in chat.messages] == ["user", "assistant"] * 2
    ask(chat, clear=True)
    assert (chat.messages, chat.words, chat.note) == ([], "", "")


def test_a_stop_ends_the_answer(chat) -> None:
    chat.length = 400
    written: list[list] = []
    chat.observe(lambda change: written.append(change["new"]), "messages")
    chat.say("The fox")
    while len(written) < 3:
        assert chat.is_writing
    with pytest.raises(RuntimeError, match="stop it first"):
        chat.say("Another")
    chat.stop()
    assert not chat.is_writing
    assert chat.note.startswith("Stopped")
    assert len(chat.messages[1][1]) > 0


def test_an_answer_that_is_colored_late_leaves_the_next_one_alone(chat, monkeypatch) -> None:
    colored, color = threading.Event(), chatting.who_wrote

    def late(*asked: object, **options: object) -> WhoWrote:
        if not colored.is_set():
            colored.wait(60)
        return color(*asked, **options)

    monkeypatch.setattr(chatting, "who_wrote", late)
    chat.say("The fox")
    first = chat._thread
    while chat.is_writing:
        pass
    chat.length = 400
    chat.say("and then")
    colored.set()
    first.join()
    assert chat.words == ""
    assert chat.is_writing, "the second answer is still written"
    chat.stop()
    assert 'class="word"' in chat.words


def test_what_is_wrong_is_told(chat, hybrid) -> None:
    ask(chat, say=" ")
    assert chat.note == NO_TEXT
    ask(chat, again=True)
    assert chat.note == NO_TEXT
    chat.top_p = 0.0
    ask(chat, say="The fox")
    chat.wait()
    assert "top_p" in chat.note
    assert not chat.is_writing
    hybrid.tokenizer = None
    with pytest.raises(ValueError, match="a hybrid with a tokenizer"):
        hybrid.chat()


def test_a_text_that_is_too_long_is_shortened_and_it_is_said(component) -> None:
    # Its positions are learned, and end.
    chat = build_hybrid([component("gpt_neo")], n_blocks=2).chat()
    chat.length = 6
    chat.say("The fox ran home. " * 200)
    chat.wait()
    assert "were left out" in chat.note

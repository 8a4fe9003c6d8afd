"""Text arrives piece by piece, fits the hybrid, and stops when nobody reads on."""

import threading
from itertools import pairwise

import pytest

from manticore import build_hybrid
from manticore.hybrid.generation import continue_text, join_texts


@pytest.fixture(scope="module")
def hybrid(component):
    parts = [component("gpt2"), component("mamba", width=24)]
    return build_hybrid(parts, n_blocks=2, projector_init="identity")


def writers():
    return [thread for thread in threading.enumerate() if thread.name == "generate"]


def test_pieces_grow_to_the_whole_text(hybrid):
    options = {"max_new_tokens": 12, "temperature": 0.0, "top_p": 1.0}
    pieces = list(continue_text(hybrid, "Once upon", **options))
    assert all(later.startswith(earlier) for earlier, later in pairwise(pieces))
    assert pieces[-1] == list(continue_text(hybrid, "Once upon", **options))[-1]
    assert not writers()


def test_a_reader_that_leaves_ends_the_thread(hybrid):
    text = continue_text(hybrid, "a", max_new_tokens=50, temperature=1.0, top_p=1.0)
    next(text)
    text.close()
    assert not writers()


def test_text_longer_than_the_hybrid_sees_is_cut_at_its_start(hybrid):
    assert hybrid.max_length == 64
    for wanted in (8, 500):
        text = continue_text(
            hybrid, "fox " * 400, max_new_tokens=wanted, temperature=1.0, top_p=0.9
        )
        assert list(text)


def test_a_failure_in_the_thread_reaches_the_reader(hybrid):
    with pytest.raises(RuntimeError, match="could not be continued"):
        list(continue_text(hybrid, "a", max_new_tokens=0, temperature=1.0, top_p=1.0))
    assert not writers()


@pytest.mark.parametrize(
    ("pieces", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a b"), (["a ", "b"], "a b"), (["a", "\nb"], "a\nb")],
)
def test_pieces_join_as_one_text(pieces, text):
    assert join_texts(pieces) == text

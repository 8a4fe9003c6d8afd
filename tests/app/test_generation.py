"""Text arrives piece by piece, fits the hybrid, and stops when nobody reads on."""

import threading
import time
from itertools import pairwise

import pytest

from app.generation import continue_text, hybrid_of
from manticore import build_hybrid
from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder


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
    pieces = continue_text(hybrid, "fox " * 400, max_new_tokens=8, temperature=1.0, top_p=0.9)
    assert list(pieces)


def test_a_failure_in_the_thread_reaches_the_reader(hybrid):
    with pytest.raises(RuntimeError, match="could not be continued"):
        list(continue_text(hybrid, "a", max_new_tokens=0, temperature=1.0, top_p=1.0))
    assert not writers()


def test_a_hybrid_is_loaded_once_until_it_changes(hybrid, tmp_path):
    config = RunConfig(components=hybrid.component_names, n_blocks=2, data={"source": "x"})
    run = Run(make_run_folder(config, root=tmp_path))
    with pytest.raises(FileNotFoundError, match="no hybrid yet"):
        hybrid_of(run)
    hybrid.save_pretrained(run.folder / "result" / "hybrid")
    first = hybrid_of(run)
    assert hybrid_of(run) is first
    time.sleep(0.02)
    (run.folder / "result" / "hybrid" / "note").touch()
    assert hybrid_of(run) is not first

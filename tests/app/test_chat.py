"""The chat without a browser: answers, stops, seeds, components side by side, and what is said."""

import json
import threading
from pathlib import Path

import pytest

from app import chat_session
from app.beginnings import BEGINNINGS, beginnings_for, how_it_reads
from app.chat_session import LOADING, WAITING, Sampling, answer, authorship, said, text_of
from app.open_runs import OpenRuns, hybrid_of
from app.side_by_side import compare
from app.stops import COMPONENTS, HYBRID, Stops
from manticore import build_hybrid
from manticore.runs import RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.layout import HYBRID_FOLDER, RESULT_FOLDER
from manticore.store.status import write_status
from tests.tiny import save_component

NAMES = ["tiny-gpt2", "tiny-mamba"]
SAMPLING = Sampling(1.0, 1.0, 24, seed=5)


def make_folder(root: Path, components: list[str]) -> Path:
    config = RunConfig(stage="search", components=components, n_blocks=2, data={})
    folder = make_run_folder(config, root=root)
    write_status(folder, "done")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with its hybrid, made without a worker."""
    saved = tmp_path_factory.mktemp("components")
    families = zip(NAMES, ("gpt2", "mamba"), strict=True)  # gpt2 reads at most 64 tokens
    components = [str(save_component(saved / name, family)) for name, family in families]
    folder = make_folder(tmp_path_factory.mktemp("runs"), components)
    hybrid = build_hybrid(components, n_blocks=2, projector_init="identity")
    hybrid.generation_config.suppress_tokens = [0, 1]  # It never ends a text by itself.
    hybrid.save_pretrained(folder / RESULT_FOLDER / HYBRID_FOLDER)
    return folder


@pytest.fixture
def opened(folder):
    return OpenRuns(folder.parent)


def writers():
    return [thread for thread in threading.enumerate() if thread.name == "generate"]


def write(opened, run_id, text, history=(), stops=None, sampling=SAMPLING):
    return answer(opened, stops or Stops(), "me", run_id, text, history, sampling)


def test_an_answer_is_loaded_for_written_piece_by_piece_and_kept(opened, folder):
    # Stopped before its first piece, an answer is left that only said that it was waiting.
    history = [said("user", "Long ago."), said("assistant", WAITING)]
    updates = list(write(opened, folder.name, "Once", history))
    asked = [said("user", "Long ago."), said("user", "Once")]
    assert updates[0]["chat"] == [*asked, said("assistant", LOADING)]
    assert updates[0]["message"] == ""
    assert all("message" not in update for update in updates[1:]), "somebody may be writing in it"
    assert updates[0]["stop"].visible
    assert updates[-1]["send"].visible
    finished = updates[-1]["answer"]
    assert finished.prompt == "Long ago. Once"
    assert len(finished.written.ids) == 24
    texts = [text_of(update["chat"][-1]) for update in updates[2:]]
    assert texts[-1] == finished.written.text
    assert all(texts[-1].startswith(text) for text in texts)
    assert f"seed {SAMPLING.seed}" in updates[-1]["status"]


def test_a_seed_gives_the_same_text_and_none_another_one(opened, folder):
    one, two = (list(write(opened, folder.name, "Once"))[-1]["answer"] for _ in range(2))
    assert one.written.text == two.written.text
    drawn = {Sampling.of(0.8, 0.95, 96, seed).seed for seed in (0, None, 0)}
    assert len(drawn) == 3
    assert Sampling.of(0.8, 0.95, 96, 7) == Sampling(0.8, 0.95, 96, 7)


@pytest.mark.parametrize(
    ("run", "text", "says"),
    [
        (None, "Once", "Choose a run above, or start one"),
        ("nope", "Once", "Choose a run above"),
        ("there", " \n", "The message is empty: write a beginning"),
        ("empty", "Once", "has no hybrid yet"),
    ],
)
def test_what_cannot_be_written_is_said_with_the_remedy(opened, folder, run, text, says):
    known = {"there": folder.name}
    if run == "empty":
        known[run] = make_folder(folder.parent, [str(folder)]).name
    last = list(write(opened, known.get(run, run), text))[-1]
    assert says in last["status"]
    assert 'class="note"' in last["status"]
    assert last.get("chat", []) == []
    assert last.get("message", text) == text


def test_what_is_too_long_is_said(opened, folder):
    status = list(write(opened, folder.name, "the fox had a lantern " * 20))[-1]["status"]
    assert "longer than the hybrid can read" in status
    assert "Press New text" in status


@pytest.mark.parametrize("drop", [False, True])
def test_a_stop_ends_the_computation(opened, folder, drop):
    stops, passes = Stops(), []
    hybrid = hybrid_of(opened.find(folder.name))
    hook = hybrid.register_forward_pre_hook(lambda *_: passes.append(1))
    updates = write(opened, folder.name, "a", stops=stops, sampling=Sampling(1.0, 1.0, 60, 1))
    seen = [next(updates) for _ in range(3)]
    stops.stop("another visitor", HYBRID)
    seen.append(next(updates))
    stops.stop("me", HYBRID, drop=drop)
    rest = list(updates)
    hook.remove()
    assert not writers()
    assert 1 <= len(passes) < 60
    if drop:
        assert rest == []
    else:
        assert rest[-1]["answer"].written.ids
        assert len(rest[-1]["answer"].written.ids) == len(passes)
        assert "Stopped" in rest[-1]["status"]


def test_a_page_that_is_closed_ends_the_computation(opened, folder):
    updates = write(opened, folder.name, "a", sampling=Sampling(1.0, 1.0, 60, 1))
    for _ in range(3):
        next(updates)
    updates.close()
    assert not writers()


def test_components_write_one_after_the_other(opened, folder):
    finished = list(write(opened, folder.name, "Once"))[-1]["answer"]
    shown = [update["columns"] for update in compare(opened, Stops(), "me", True, finished)]
    assert all(page.count("is writing") == 1 for page in shown[:-1])
    assert all(page.count("waits for its turn") <= 1 for page in shown)
    assert "is writing" not in shown[-1]
    assert [f"{name} alone" in shown[-1] for name in NAMES] == [True, True]
    assert not writers()


def test_a_stop_ends_all_components_and_not_the_hybrid(opened, folder):
    stops = Stops()
    finished = list(write(opened, folder.name, "Once"))[-1]["answer"]
    updates = compare(opened, stops, "me", True, finished)
    for _ in range(2):
        next(updates)
    stops.stop("me", HYBRID)
    next(updates)
    stops.stop("me", COMPONENTS)
    assert list(updates)[-1]["columns"].count(">stopped<") == 2
    assert not writers()


@pytest.mark.parametrize(("wanted", "has_answer"), [(False, True), (True, False)])
def test_without_a_wish_or_an_answer_there_are_no_columns(opened, folder, wanted, has_answer):
    finished = list(write(opened, folder.name, "a"))[-1]["answer"] if has_answer else None
    updates = list(compare(opened, Stops(), "me", wanted, finished))
    assert [update["columns"] for update in updates] == [""]


def test_every_token_of_an_answer_has_an_author(opened, folder):
    finished = list(write(opened, folder.name, "Once"))[-1]["answer"]
    shown = authorship(opened, finished)
    assert 0 < shown.count('class="word"') <= 24
    assert all(name in shown for name in NAMES)
    assert authorship(opened, None) == ""


def test_beginnings_fit_the_components_in_turn(tmp_path, monkeypatch):
    monkeypatch.delenv("MANTICORE_ZOO", raising=False)
    both = make_folder(tmp_path, ["zoo:tales-neox", "zoo:stdlib-llama"])
    offered = beginnings_for(OpenRuns(tmp_path).find(both.name))
    assert offered[:2] == [BEGINNINGS["en"][0], BEGINNINGS["python"][0]]
    assert set(offered) == {*BEGINNINGS["en"], *BEGINNINGS["python"]}
    assert beginnings_for(None) == BEGINNINGS["en"]


def test_the_tab_says_whether_there_is_a_chat_template(tmp_path):
    opened, made = OpenRuns(tmp_path), make_folder(tmp_path, ["zoo:tales-neox"])
    run = opened.find(made.name)
    assert "continues the text" in how_it_reads(run)
    (made / "start").mkdir()
    settings = made / "start" / "tokenizer_config.json"
    settings.write_text(json.dumps({"chat_template": "{{ messages }}"}))
    assert "chat template" in how_it_reads(run)
    assert "no chat template" not in how_it_reads(run)
    settings.unlink()
    (made / "start" / "chat_template.jinja").write_text("{{ messages }}")
    assert "no chat template" not in how_it_reads(run)
    assert "Choose a run" in how_it_reads(None)


def test_status_lines_are_text():
    assert "<b>" not in chat_session.note("<b>") + chat_session.told("<b>")

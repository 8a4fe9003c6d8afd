"""What a `Run` tells of a folder, whoever wrote it and however it ended."""

import json
import logging
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import psutil
import pytest

from manticore.runs import Run, RunConfig, RunError, get_run, launch, runs
from manticore.runs import run as run_module
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.store.folder import CONFIG_FILE, STATUS_FILE
from manticore.store.label import LABEL_FILE
from manticore.store.lock import run_lock
from manticore.store.status import write_status

CONFIG = RunConfig(
    name="A Test", components=["zoo:a", "hub/b<i>"], n_blocks=2, data={"source": "x"}
)


@pytest.fixture
def run(tmp_path):
    folder = make_run_folder(CONFIG, root=tmp_path)
    write_status(folder, "stopped")
    return Run(folder)


def emit(run, steps, tag=0.0):
    with EventWriter(run.folder) as events:
        for step in steps:
            events.emit("step", step=step, loss=3.0 - step / 10 + tag, lr=1e-3, eta_s=4.0)
            weights = [[0.5, 0.5], [0.25 + tag, 0.75 - tag]]
            events.emit("mixture", step=step, weights=weights, components=["a", "b"])


def test_a_new_folder_is_whole_and_its_id_tells_the_name(tmp_path):
    folder = make_run_folder(CONFIG, root=tmp_path)
    assert "a-test" in folder.name
    run = get_run(folder.name, tmp_path)
    assert run.config == CONFIG
    assert run.status.state == "queued"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_repeated_steps_after_a_kill_count_once_as_they_were_last(run):
    emit(run, [0, 1, 2, 3])
    emit(run, [2, 3, 4], tag=0.125)
    steps, losses = run.losses()
    assert steps.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(losses, [3.0, 2.9, 2.925, 2.825, 2.725])
    assert run.mixture_steps.tolist() == [0, 1, 2, 3, 4]
    history = run.mixture_history()
    assert history.shape == (5, 2, 2)
    np.testing.assert_allclose(history[:, 1, 0], [0.25, 0.25, 0.375, 0.375, 0.375])


def test_events_grow_with_the_folder(run):
    assert run.events() == []
    assert run.mixture_history().shape == (0, 2, 2)
    assert run.losses()[0].shape == (0,)
    emit(run, [0])
    assert len(run.events()) == 2
    emit(run, [1])
    assert len(run.events()) == 4


def test_a_loss_that_was_not_finite_is_nan(run):
    with EventWriter(run.folder) as events:
        events.emit("step", step=0, loss=float("inf"), lr=1.0)
    assert np.isnan(run.losses()[1]).all()
    assert "not finite" in repr(run)


def test_summary_and_faces(run):
    with EventWriter(run.folder) as events:
        events.emit("stage", name="search", total_steps=9)
        events.emit("eval", step=0, metrics={"perplexity": 8.5})
    emit(run, [3])
    row = run.summary()
    assert (row["step"], row["total_steps"], row["state"]) == (3, 9, "stopped")
    assert row["metrics"] == {"perplexity": 8.5}
    assert row["eta_s"] is None, "nobody is at work"
    assert "step 3 of 9" in repr(run)
    assert "b&lt;i&gt;" in run._repr_html_()


def test_a_failed_run_says_why(run):
    with EventWriter(run.folder) as events:
        events.emit("failed", cause="too wide", remedy="narrow it")
    write_status(run.folder, "failed", message="too wide")
    with pytest.raises(RunError, match="too wide"):
        run.wait(timeout=1)
    assert run.summary()["remedy"] == "narrow it"


def test_wait_gives_up_in_time_and_names_the_state(run):
    write_status(run.folder, "running")
    with pytest.raises(TimeoutError, match=r"still running after 0\.05 s"):
        run.wait(timeout=0.05, poll=0.01)


def test_what_is_at_work_is_neither_resumed_nor_deleted(run):
    write_status(run.folder, "running")
    for act in (run.resume, run.delete):
        with pytest.raises(RunError, match="running: stop it"):
            act()


def test_what_is_done_is_not_resumed(run):
    write_status(run.folder, "done")
    with pytest.raises(RunError, match="start a new run"):
        run.resume()


def test_no_hybrid_yet_is_a_clear_error(run):
    with pytest.raises(FileNotFoundError, match="no hybrid yet: resume it, and wait for its first"):
        run.hybrid()
    with pytest.raises(FileNotFoundError, match="no result yet: resume it"):
        run.metrics()
    write_status(run.folder, "running")
    with pytest.raises(FileNotFoundError, match="no hybrid yet: wait for its first"):
        run.hybrid()


def test_a_run_on_another_machine_is_not_killed_from_here(run, monkeypatch):
    """The number of its process is another's here."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        status = write_status(run.folder, "running", pid=process.pid)
        elsewhere = status.model_copy(update={"host": "elsewhere"})
        (run.folder / STATUS_FILE).write_text(elsewhere.model_dump_json())
        with pytest.raises(RunError, match="kill it there"):
            run.kill()
        assert process.poll() is None
        write_status(run.folder, "running", pid=process.pid)
        run.kill()
        assert run.status.state == "died", "a run that was killed can be resumed at once"
        assert process.wait(10) != 0


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (psutil.AccessDenied(), "another user"),
        (psutil.NoSuchProcess(1), None),
        (None, r"has not ended after 0\.05 s"),
    ],
)
def test_what_cannot_be_killed_is_said(run, monkeypatch, raised, says):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        write_status(run.folder, "running", pid=process.pid)

        def kill(self):
            if raised is not None:
                raise raised

        monkeypatch.setattr(psutil.Process, "kill", kill)
        monkeypatch.setattr(run_module, "KILLED_WITHIN", 0.05)
        with pytest.raises(RunError, match=says) if says else nullcontext():
            run.kill()
        process.kill()


def test_delete_removes_the_folder(run, tmp_path):
    run.delete()
    assert list(tmp_path.iterdir()) == []


def test_runs_are_newest_first_and_broken_ones_are_skipped_aloud(tmp_path, caplog):
    folders = [make_run_folder(CONFIG, root=tmp_path) for _ in range(4)]
    (folders[1] / CONFIG_FILE).unlink()
    (folders[2] / CONFIG_FILE).write_text('{"n_blocks": "many"}')
    # Not a run at all, and nobody needs to hear of it.
    (tmp_path / "notes").mkdir()
    (tmp_path / ".half-made").mkdir()
    (tmp_path / "file.txt").touch()
    with caplog.at_level(logging.WARNING):
        found = runs(tmp_path)
    assert [run.folder for run in found] == [folders[3], folders[0]]
    assert all(name in caplog.text for name in (folders[1].name, folders[2].name))
    assert "notes" not in caplog.text


@pytest.mark.parametrize("content", ["", "{", '{"created": NaN}', None])
def test_a_run_whose_status_is_lost_is_listed_and_can_be_resumed(tmp_path, content, monkeypatch):
    """As a power cut may leave it."""
    lost, kept = (make_run_folder(CONFIG, root=tmp_path) for _ in range(2))
    status = lost / STATUS_FILE
    status.unlink() if content is None else status.write_text(content)
    assert [run.folder for run in runs(tmp_path)] == [kept, lost]
    run = get_run(lost.name, tmp_path)
    assert run.summary()["state"] == "died"
    started = []
    monkeypatch.setattr(run_module, "spawn_worker", lambda folder, *_: started.append(folder))
    assert run.resume() is run
    assert started == [lost]


def test_a_run_whose_worker_has_not_let_go_is_not_resumed(run, monkeypatch):
    monkeypatch.setattr(launch, "LOCK_TIMEOUT", 0.05)
    with run_lock(run.folder), pytest.raises(RunError, match=r"has not ended yet: wait, or kill"):
        run.resume()


def test_no_runs_folder_means_no_runs(tmp_path):
    assert runs(tmp_path / "none") == []


def test_get_run_names_what_there_is(tmp_path):
    folder = make_run_folder(CONFIG, root=tmp_path)
    with pytest.raises(KeyError, match=folder.name):
        get_run("nope", tmp_path)
    with pytest.raises(ValueError, match="not a run id"):
        get_run("../nope", tmp_path)


def test_a_model_folder_is_not_taken_for_a_run(tmp_path):
    (tmp_path / CONFIG_FILE).write_text("{}")
    with pytest.raises(FileNotFoundError, match=STATUS_FILE):
        Run(tmp_path)


def test_a_run_is_renamed_and_noted_on_while_it_works(run):
    config = (run.folder / CONFIG_FILE).read_bytes()
    assert (run.name, run.note) == ("A Test", "")
    write_status(run.folder, "running")
    assert run.rename("  Fox\nhunt \u202e", note="first\r\nline two\0\n\n") is run
    assert (run.name, run.note) == ("Fox hunt", "first\nline two")
    assert Run(run.folder).summary()["name"] == "Fox hunt"
    run.rename(note="other")
    assert (run.name, run.note) == ("Fox hunt", "other")
    run.rename("")
    assert (run.name, run.note) == ("A Test", "other")
    # What a worker reads and resumes by is as it was, and nothing else lies about.
    assert (run.folder / CONFIG_FILE).read_bytes() == config
    names = {path.name for path in run.folder.iterdir()}
    assert names == {CONFIG_FILE, STATUS_FILE, LABEL_FILE}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "x" * 121}, "The name has 121 characters: shorten it to at most 120"),
        ({"note": "x" * 2001}, "The note has 2001 characters: shorten it to at most 2000"),
    ],
)
def test_a_name_that_is_too_long_is_refused(run, given, says):
    with pytest.raises(ValueError, match=says):
        run.rename(**given)
    assert not (run.folder / LABEL_FILE).exists()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"name": 1}', b"x" * 70_000, b'{"name": "\xff"}']
)
def test_a_damaged_label_costs_nothing(run, content):
    (run.folder / LABEL_FILE).write_bytes(content)
    assert (run.name, run.note) == ("A Test", "")
    assert run.rename("Fox").name == "Fox"


def test_how_long_a_run_took_leaves_out_the_pauses(run):
    assert run.took() is None
    told = [("stage", 0), ("step", 10), ("step", 25), ("stage", 1000), ("step", 1007)]
    fields = {"name": "search", "total_steps": 9, "step": 1, "loss": 1.0, "lr": {}}
    lines = (json.dumps({"kind": kind, "time": float(time), **fields}) for kind, time in told)
    (run.folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    assert run.took() == 32

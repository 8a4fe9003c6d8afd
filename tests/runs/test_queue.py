"""Runs that wait for their turn: their order, who gets a slot, and that death frees it."""

import threading
import time

import pytest

from manticore.runs import Run, queue, start_run
from manticore.runs.launch import make_run_folder
from manticore.store.status import write_status
from manticore.views.wording import facts, state_words
from tests.tiny_runs import run_config

PATIENCE = 120.0


@pytest.fixture
def config(component, tmp_path):
    options = {"steps": 2000, "batch_size": 1, "checkpoint_every": 1000, "eval_every": 1000}
    return run_config(tmp_path, [component("gpt2")], options=options | {"eval_batches": 1})


def until(true):
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def waiting(config, root, since, monkeypatch):
    """A run in the queue, whose process is this one."""
    folder = make_run_folder(config, root=root)
    monkeypatch.setattr(queue.time, "time", lambda: since)
    queue.join(folder, 1)
    monkeypatch.undo()
    return folder


def test_the_queue_has_the_order_in_which_runs_joined(config, tmp_path, monkeypatch):
    late, early, dead = (waiting(config, tmp_path / "r", t, monkeypatch) for t in (30, 20, 10))
    write_status(dead, "died")
    ahead = {folder: queue.runs_ahead(folder, queue.ticket_of(folder)) for folder in (late, early)}
    assert ahead == {early: 0, late: 1}
    queue.leave(early)
    assert queue.ticket_of(early) is None
    assert queue.runs_ahead(late, queue.ticket_of(late)) == 0


def test_a_turn_comes_when_a_slot_is_free(config, tmp_path, monkeypatch):
    folder = waiting(config, tmp_path / "r", 10, monkeypatch)
    first = queue.take_slot(tmp_path / "r", 1)
    assert queue.take_slot(tmp_path / "r", 1) is None
    told, stop = [], threading.Event()

    def tell(place):
        told.append(place)
        first.release()

    slot = queue.wait_for_turn(folder, stop, tell)
    assert slot is not None
    assert told == ["first in the queue"]
    assert queue.ticket_of(folder) is None
    slot.release()
    assert queue.wait_for_turn(folder, stop, told.append) is None, "it need not wait"


def test_one_that_waits_is_told_its_place_and_can_be_stopped(config, tmp_path, monkeypatch):
    folders = [waiting(config, tmp_path / "r", since, monkeypatch) for since in (10, 20)]
    stop, told = threading.Event(), []

    def tell(place):
        told.append(place)
        stop.set()

    assert queue.wait_for_turn(folders[1], stop, tell) is None
    assert told == ["second in the queue"]
    assert queue.ordinal(31) == "number 31"
    write_status(folders[0], "queued", message="second in the queue")
    row = Run(folders[0]).summary()
    assert state_words(row) == "waiting"
    assert facts(row) == [("", "second in the queue")]


def test_runs_take_turns_whoever_is_killed(config, tmp_path):
    root = tmp_path / "runs"
    first, second, third = (start_run(config, root=root, at_once=1) for _ in range(3))
    try:
        until(lambda: third.summary()["message"] == "second in the queue")
        until(lambda: second.status.message == "first in the queue")
        third.stop()
        until(lambda: not third.is_alive)
        assert third.status.message == "It was stopped before its turn came."
        until(lambda: first.status.state == "running")
        first.kill()
        until(lambda: second.status.state == "running")
        first.resume(at_once=1)
        until(lambda: first.summary()["message"] == "first in the queue")
        # One that is not told to wait does not.
        third.resume()
        until(lambda: third.status.state == "running")
    finally:
        for run in (first, second, third):
            run.kill()

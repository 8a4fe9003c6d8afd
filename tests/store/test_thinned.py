"""Pictures of a long run need a part of its events, read as the run goes on."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.store import thinned
from manticore.store.events import EVENTS_FILE, last_per_step, read_events
from manticore.store.thinned import ThinnedEvents

MOST = {"step": 8, "mixture": 8, "probe": 2}


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinned, "MOST", MOST)


def _write(folder: Path, *events: dict, torn: str = "") -> None:
    with (folder / EVENTS_FILE).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps({"time": 1.0, **event}) + "\n" for event in events)
        file.write(torn)


def _steps(*numbers: int, kind: str = "step") -> list[dict]:
    return [{"kind": kind, "step": step, "loss": float(step)} for step in numbers]


def _kept(events: ThinnedEvents, kind: str = "step") -> list[int]:
    return [event["step"] for event in events.read()[0] if event["kind"] == kind]


def test_a_short_run_is_kept_whole(tmp_path: Path) -> None:
    _write(tmp_path, {"kind": "stage", "stage": "search"}, *_steps(1, 2, 3), {"kind": "done"})
    assert ThinnedEvents(tmp_path).read() == (read_events(tmp_path)[0], 5)


@settings(max_examples=40)
@given(parts=st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_however_it_is_read_it_is_thinned_alike(
    parts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    growing, step = ThinnedEvents(folder), 0
    for part in parts:
        _write(folder, *_steps(*range(step + 1, step + part + 1)))
        step += part
        growing.read()
    found, count = growing.read()
    assert (found, count) == ThinnedEvents(folder).read()
    assert count == step
    steps = [event["step"] for event in found]
    assert len(steps) <= MOST["step"] + 1
    assert steps == sorted(steps)
    if step:
        assert (steps[0], steps[-1]) == (1, step)
        gaps = {b - a for a, b in pairwise(steps[:-1])}
        assert len(gaps) <= 1


def test_kinds_keep_their_order_and_all_that_are_rare(tmp_path: Path) -> None:
    for step in range(1, 31):
        warning = {"kind": "warning", "message": f"at {step}"}
        _write(tmp_path, *_steps(step), *_steps(step, kind="probe"), warning)
    events, count = ThinnedEvents(tmp_path).read()
    assert count == 90
    assert sum(event["kind"] == "warning" for event in events) == 30
    assert _kept(ThinnedEvents(tmp_path), "probe")[-1] == 30
    assert len(_kept(ThinnedEvents(tmp_path), "probe")) <= 3
    everything = read_events(tmp_path)[0]
    positions = [everything.index(event) for event in events]
    assert positions == sorted(positions)


def test_steps_that_a_resumed_run_repeats_count_as_they_were_the_last_time(tmp_path: Path) -> None:
    watching = ThinnedEvents(tmp_path)
    _write(tmp_path, {"kind": "stage", "stage": "search"}, *_steps(*range(1, 50)))
    watching.read()
    again = [{**event, "loss": -1.0} for event in _steps(*range(33, 60))]
    _write(tmp_path, {"kind": "stage", "stage": "search"}, *again)
    for events in (watching.read()[0], ThinnedEvents(tmp_path).read()[0]):
        losses = {event["step"]: event["loss"] for event in last_per_step(events, "step")}
        assert all((loss == -1.0) == (step >= 33) for step, loss in losses.items())
        assert max(losses) == 59


def test_every_task_has_its_first_and_its_newest(tmp_path: Path) -> None:
    for number, task in enumerate(("recall", "noise", "copy")):
        steps = _steps(*range(100 * number, 100 * number + 42), kind="mixture")
        timed = ({"kind": event.pop("kind"), "task": task, **event} for event in steps)
        _write(tmp_path, *timed)
    events = ThinnedEvents(tmp_path)
    for number, task in enumerate(("recall", "noise", "copy")):
        steps = [event["step"] for event in events.read()[0] if event["task"] == task]
        assert (steps[0], steps[-1]) == (100 * number, 100 * number + 41)
        assert len(steps) <= MOST["mixture"] + 1
    assert events.newest()["mixture"]["task"] == "copy"


def test_the_newest_of_each_kind_is_parsed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, *_steps(*range(1, 100)), *_steps(5, 10, kind="mixture"))
    parsed = []
    parse = thinned.parse_event
    monkeypatch.setattr(thinned, "parse_event", lambda *line: parsed.append(1) or parse(*line))
    newest = ThinnedEvents(tmp_path).newest()
    assert {kind: event["step"] for kind, event in newest.items()} == {"step": 99, "mixture": 10}
    assert len(parsed) == 2
    assert ThinnedEvents(tmp_path).count() == 101
    assert len(parsed) == 2


def test_torn_and_damaged_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(tmp_path, *_steps(1, 2), torn='{"time": 1.0, "kind": "step", "st')
    events = ThinnedEvents(tmp_path)
    assert _kept(events) == [1, 2]
    _write(tmp_path, torn="oken\n{\n")
    _write(tmp_path, *_steps(3))
    assert _kept(events) == [1, 2, 3]
    assert "skipped a damaged event" in caplog.text
    assert events.newest()["step"]["step"] == 3


def test_a_stream_that_is_replaced_by_a_shorter_one(tmp_path: Path) -> None:
    _write(tmp_path, *_steps(*range(1, 40)))
    events = ThinnedEvents(tmp_path)
    events.read()
    (tmp_path / EVENTS_FILE).unlink()
    assert events.read() == ([], 0)
    _write(tmp_path, *_steps(1))
    assert events.read() == (read_events(tmp_path)[0], 1)


def test_the_time_at_work(tmp_path: Path) -> None:
    events = ThinnedEvents(tmp_path)
    assert events.seconds() is None
    stage, steps = {"kind": "stage", "stage": "search"}, _steps(1, 2, 3)
    timed = [(stage, 10.0), (steps[0], 12.5), (steps[1], 14.0), (stage, 100.0), (steps[2], 101.0)]
    _write(tmp_path, *({**event, "time": time} for event, time in timed))
    assert events.seconds() == pytest.approx(5.0)

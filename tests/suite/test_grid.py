"""A grid keeps what is done, whatever happens to its file, and does groups of trials in order."""

import errno
import json
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from manticore.suite.grid import Grid, run_groups


@pytest.fixture
def path(tmp_path):
    return tmp_path / "grid" / "results.jsonl"


def known(path, *fields):
    with Grid(path, fields) as grid:
        return dict(grid.results)


def test_what_is_added_is_there_for_the_next_process(path):
    with Grid(path) as grid:
        assert grid.add({"id": "a", "scores": (1, 2)}) == {"id": "a", "scores": [1, 2]}
        grid.add({"id": "b"})
    assert known(path) == {"a": {"id": "a", "scores": [1, 2]}, "b": {"id": "b"}}


def test_a_torn_last_line_is_removed_and_a_damaged_one_skipped(path):
    path.parent.mkdir()
    lines = ['{"id": "a", "accuracy": 1}', '{"id": "b", "acc', '["id"]', '{"id": "c"}', '{"id": "d']
    path.write_text("\n".join(lines))
    assert known(path, "accuracy").keys() == {"a"}
    with Grid(path, ("accuracy",)) as grid:
        grid.add({"id": "d", "accuracy": 0})
    assert known(path, "accuracy").keys() == {"a", "d"}
    assert json.loads(path.read_text().splitlines()[-1])["id"] == "d"


def test_one_process_at_a_time(path):
    with (
        Grid(path),
        pytest.raises(BlockingIOError, match=r"at work on .*results\.jsonl"),
        Grid(path),
    ):
        pass
    assert known(path) == {}


def test_a_full_disk_leaves_whole_lines(path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Grid(path) as grid:
        grid.add({"id": "a"})
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            grid.add({"id": "b"})
        assert grid.results.keys() == {"a"}
    monkeypatch.undo()
    assert known(path).keys() == {"a"}


def test_a_number_that_is_not_finite_is_refused_unless_allowed(path):
    with Grid(path) as grid, pytest.raises(ValueError, match="JSON"):
        grid.add({"id": "a", "loss": float("inf")})
    assert known(path) == {}
    with Grid(path, allow_nan=True) as grid:
        grid.add({"id": "a", "loss": float("inf")})
    assert known(path)["a"]["loss"] == float("inf")


def test_forgotten_is_gone(path):
    with Grid(path) as grid:
        grid.add({"id": "a"})
        grid.forget()
    assert list(path.parent.iterdir()) == []
    assert known(path) == {}


def at_once(trial):
    future = Future()
    future.set_result(trial)
    return future


def test_a_group_ends_when_one_of_its_trials_is_enough():
    done = []

    def over(trial, future):
        done.append(future.result())
        return trial == 2

    assert run_groups([[1, 2, 3], [4], [5, 6]], at_once, over)
    assert done == [1, 2, 4, 5, 6]


def test_groups_run_at_the_same_time_and_their_trials_in_order():
    begun = {name: Event() for name in "ab"}
    order = []

    def train(trial):
        name, number = trial
        if number == 0:  # both are under way before either can end
            begun[name].set()
            assert all(event.wait(30) for event in begun.values())
        order.append(trial)
        return trial

    groups = [[(name, number) for number in range(3)] for name in "ab"]
    with ThreadPoolExecutor(2) as pool:
        whole = run_groups(groups, lambda trial: pool.submit(train, trial), lambda *_: False, 2)
    assert whole
    for name in "ab":
        assert [number for own, number in order if own == name] == [0, 1, 2]


def test_after_a_stop_nothing_is_started_and_what_is_under_way_ends():
    done = []

    def over(trial, future):
        done.append(trial)
        return False

    assert not run_groups([[1, 2], [3]], at_once, over, should_stop=lambda: True)
    assert done == [1]


def test_a_failure_is_for_whoever_looks_at_the_future():
    def fail(trial):
        future = Future()
        future.set_exception(RuntimeError(str(trial)))
        return future

    seen = []
    assert run_groups(
        [[1], [2]], fail, lambda trial, future: seen.append(future.exception()) or True
    )
    assert [str(error) for error in seen] == ["1", "2"]

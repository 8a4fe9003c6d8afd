"""The event stream: whole lines, torn lines, non-finite numbers, a full disk."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.store.events import (
    EVENT_KINDS,
    EVENTS_FILE,
    EventWriter,
    last_per_step,
    read_events,
)


def emit_step(writer, step, loss=1.0):
    writer.emit("step", step=step, loss=loss, lr=1e-3)


def test_events_come_back_in_order_with_time_and_kind(tmp_path):
    with EventWriter(tmp_path) as writer:
        writer.emit("stage", name="search", total_steps=3)
        emit_step(writer, 1, 2.5)
        writer.emit("done")
    events, offset = read_events(tmp_path)
    assert [event["kind"] for event in events] == ["stage", "step", "done"]
    assert events[1]["loss"] == 2.5
    assert events[0]["time"] <= events[2]["time"]
    assert offset == (tmp_path / EVENTS_FILE).stat().st_size


def test_offset_reads_only_what_is_new(tmp_path):
    with EventWriter(tmp_path) as writer:
        emit_step(writer, 1)
        _, offset = read_events(tmp_path)
        assert read_events(tmp_path, offset) == ([], offset)
        emit_step(writer, 2)
    events, _ = read_events(tmp_path, offset)
    assert [event["step"] for event in events] == [2]


def test_unknown_kind_lists_the_valid_ones(tmp_path):
    with EventWriter(tmp_path) as writer, pytest.raises(ValueError, match="stpe") as error:
        writer.emit("stpe", step=1)
    assert all(kind in str(error.value) for kind in EVENT_KINDS)


def test_missing_field_is_named(tmp_path):
    with EventWriter(tmp_path) as writer, pytest.raises(ValueError, match="loss"):
        writer.emit("step", step=1, lr=0.1)


def test_writer_needs_an_existing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        EventWriter(tmp_path / "missing")


def test_closed_writer_says_so(tmp_path):
    writer = EventWriter(tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.emit("done")


def test_non_finite_numbers_become_none_and_the_file_stays_strict_json(tmp_path):
    with EventWriter(tmp_path) as writer:
        emit_step(writer, 1, float("nan"))
        emit_step(writer, 2, torch.tensor(float("inf")))
        writer.emit("eval", step=2, metrics={"perplexity": np.float32("inf"), "n": np.int64(3)})
    text = (tmp_path / EVENTS_FILE).read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    events, _ = read_events(tmp_path)
    assert [event.get("loss") for event in events] == [None, None, None]
    assert events[2]["metrics"] == {"perplexity": None, "n": 3}


def test_tensors_and_paths_are_written_plainly(tmp_path):
    with EventWriter(tmp_path) as writer:
        writer.emit("mixture", step=0, weights=torch.eye(2), components=("a", "b"))
        writer.emit("warning", message=Path("x"))
    events, _ = read_events(tmp_path)
    assert events[0]["weights"] == [[1.0, 0.0], [0.0, 1.0]]
    assert events[1]["message"] == "x"


def test_half_a_character_does_not_break_the_stream(tmp_path):
    with EventWriter(tmp_path) as writer:
        writer.emit("sample", step=0, text="a\ud800b", prompt="\u2028")
    events, _ = read_events(tmp_path)
    assert events[0]["text"] == "a?b"
    assert events[0]["prompt"] == "\u2028"


def test_torn_last_line_waits_until_it_is_whole(tmp_path):
    with EventWriter(tmp_path) as writer:
        emit_step(writer, 1)
    line = json.dumps({"kind": "step", "step": 2}).encode() + b"\n"
    with (tmp_path / EVENTS_FILE).open("ab") as file:
        file.write(line[:10])
        file.flush()
        events, offset = read_events(tmp_path)
        assert [event["step"] for event in events] == [1]
        file.write(line[10:])
    events, _ = read_events(tmp_path, offset)
    assert [event["step"] for event in events] == [2]


def test_damaged_line_in_the_middle_is_skipped(tmp_path, caplog):
    with EventWriter(tmp_path) as writer:
        emit_step(writer, 1)
        with (tmp_path / EVENTS_FILE).open("ab") as file:
            file.write(b"\x00\xff garbage\n")
        emit_step(writer, 2)
    events, _ = read_events(tmp_path)
    assert [event["step"] for event in events] == [1, 2]
    assert "damaged" in caplog.text


@settings(max_examples=60)
@given(cut=st.integers(0, 10_000), text=st.text(max_size=40))
def test_a_resumed_writer_survives_any_cut(tmp_path_factory, cut, text):
    folder = tmp_path_factory.mktemp("run")
    with EventWriter(folder) as writer:
        emit_step(writer, 1)
        writer.emit("sample", step=1, text=text, prompt="")
    path = folder / EVENTS_FILE
    data = path.read_bytes()
    cut %= len(data) + 1
    path.write_bytes(data[:cut])
    before, offset = read_events(folder)
    with EventWriter(folder) as writer:
        emit_step(writer, 2)
    after, _ = read_events(folder)
    # A line that lacked only its newline is kept; anything shorter is gone; the new event is always
    # whole.
    assert after[-1]["step"] == 2
    assert after[: len(before)] == before
    kept = 1 if data[cut : cut + 1] == b"\n" else 0
    assert len(after) == len(before) + kept + 1
    assert read_events(folder, offset)[0] == after[len(before) :]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to meet a full disk")
def test_full_disk_is_named_with_its_remedy(tmp_path):
    (tmp_path / EVENTS_FILE).symlink_to("/dev/full")
    with EventWriter(tmp_path) as writer, pytest.raises(OSError, match="disk is full") as error:
        emit_step(writer, 1)
    assert error.value.errno == errno.ENOSPC


def test_repeated_steps_keep_the_last_word():
    steps = [(1, 3.0), (2, 2.0), (3, 1.9), (2, 2.1), (3, 1.8)]
    events = [{"kind": "step", "step": step, "loss": loss} for step, loss in steps]
    events.insert(0, {"kind": "eval", "step": 1, "metrics": {}})
    assert [event["loss"] for event in last_per_step(events, "step")] == [3.0, 2.1, 1.8]


def test_negative_offset_is_refused(tmp_path):
    with pytest.raises(ValueError, match="-1"):
        read_events(tmp_path, -1)

"""JSON files are never half-written, and hold what a reader can read."""

import json
import math
import threading

import pytest

from manticore.store.files import write_json


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "status.json"
    write_json(path, {"n": 0})
    ended = threading.Event()

    def write():
        for n in range(100):
            write_json(path, {"n": n, "pad": "x" * (n * 37 % 5000)})
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():
        json.loads(path.read_text())
    writer.join()
    assert json.loads(path.read_text())["n"] == 99
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_not_written(tmp_path):
    path = tmp_path / "status.json"
    write_json(path, {"n": 0})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"n": float("nan")})
    assert json.loads(path.read_text()) == {"n": 0}


def test_nan_is_written_where_python_alone_reads(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"n": float("inf")}, allow_nan=True)
    assert json.loads(path.read_text())["n"] == math.inf

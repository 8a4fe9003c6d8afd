"""JSON files are never half-written, and hold what a reader can read."""

import json
import math
import os
import threading

import pytest

from manticore.store.files import publish_folder, write_json


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


@pytest.mark.parametrize("before", [False, True], ids=["new", "replaced"])
def test_a_folder_takes_its_name_when_the_disk_has_its_files(tmp_path, monkeypatch, before):
    partial, final = tmp_path / "partial", tmp_path / "final"
    (partial / "inner").mkdir(parents=True)
    (partial / "weights").write_text("all")
    (partial / "inner" / "more").write_text("of it")
    if before:
        final.mkdir()
        (final / "old").touch()
    synced = []
    sync = os.fsync

    def noted(descriptor):
        assert partial.is_dir(), "the folder has its name already"
        synced.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    publish_folder(partial, final)
    assert len(synced) == 2
    assert sorted(path.name for path in final.rglob("*")) == ["inner", "more", "weights"]
    assert not partial.exists()

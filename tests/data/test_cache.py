"""The token cache: whole or absent, reused when nothing changed, remade when damaged."""

import os
import resource
import signal

import numpy as np
import pytest

from manticore.data.cache import TokenCache, cache_root


def blocks(n: int = 10) -> dict[str, list[np.ndarray]]:
    return {"train": [np.arange(n), np.arange(n)], "valid": [np.arange(3)]}


def test_an_entry_holds_what_was_written(tmp_path):
    entry = TokenCache(tmp_path, "key", n_ids=100)
    assert entry.read() is None
    assert entry.write(blocks()) == {"train": 20, "valid": 3} == entry.read()
    assert np.fromfile(entry.path("train"), entry.dtype).tolist() == [*range(10), *range(10)]


@pytest.mark.parametrize(("n_ids", "dtype"), [(65536, "uint16"), (65537, "uint32")])
def test_ids_are_stored_in_as_few_bytes_as_hold_them(tmp_path, n_ids, dtype):
    entry = TokenCache(tmp_path, "key", n_ids)
    entry.write({"train": [np.array([0, n_ids - 1])]})
    assert entry.dtype == dtype
    assert np.fromfile(entry.path("train"), dtype)[-1] == n_ids - 1


def test_an_id_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path):
    for wrong in (65_536, -1):
        with pytest.raises(ValueError, match="outside of 0 to 65535"):
            TokenCache(tmp_path, "key", 100).write({"train": [np.array([1, wrong])]})
    assert list((tmp_path / "tokens").iterdir()) == []


def test_a_damaged_entry_is_removed(tmp_path, caplog):
    entry = TokenCache(tmp_path, "key", 100)
    entry.write(blocks())
    os.truncate(entry.path("train"), 5)
    assert entry.read() is None
    assert "damaged" in caplog.text
    assert not entry.folder.exists()
    assert entry.write(blocks()) == entry.read()


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    def failing():
        yield np.arange(10)
        raise ValueError("bad text")

    entry = TokenCache(tmp_path, "key", 100)
    with pytest.raises(ValueError, match="bad text"):
        entry.write({"train": failing()})
    assert list((tmp_path / "tokens").iterdir()) == []


def test_two_writers_of_one_entry_do_not_collide(tmp_path):
    entry, other = (TokenCache(tmp_path, "key", 100) for _ in range(2))

    def meanwhile():
        yield np.arange(10)
        other.write({"train": [np.arange(10)]})

    entry.write({"train": meanwhile()})
    assert entry.read() == {"train": 10}
    assert [p.name for p in (tmp_path / "tokens").iterdir()] == ["key"]


@pytest.fixture
def _files_end_at_50_kb():
    """No file may grow beyond 50,000 bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("_files_end_at_50_kb")
def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path):
    entry = TokenCache(tmp_path, "key", 100)
    with pytest.raises(OSError, match=r"could not be written.*MANTICORE_CACHE"):
        entry.write({"train": [np.zeros(10_000, np.int64)] * 10})
    assert list((tmp_path / "tokens").iterdir()) == []


def test_what_a_killed_writer_left_is_removed(tmp_path):
    entry = TokenCache(tmp_path, "key", 100)

    def killed():
        yield np.arange(10)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        entry.write({"train": killed()})
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert len(list((tmp_path / "tokens").iterdir())) == 1
    assert entry.read() is None
    entry.write(blocks())
    assert [p.name for p in (tmp_path / "tokens").iterdir()] == ["key"]


def test_the_root_is_the_argument_then_the_variable_then_the_home(tmp_path, cache, monkeypatch):
    assert cache_root(tmp_path / "x") == tmp_path / "x"
    assert cache_root() == cache
    monkeypatch.delenv("MANTICORE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "manticore"

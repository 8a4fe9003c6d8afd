"""Names of files: unknown home folders are named wherever a name is read."""

import os
from pathlib import Path

import pytest

import manticore as mc
from manticore.components.loading import ComponentError
from manticore.data.cache import cache_root
from manticore.paths import absolute, expanded, worker_environment
from manticore.store.layout import runs_root

UNKNOWN = "~nosuchuser/x"


def test_what_exists_becomes_absolute_and_what_does_not_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").touch()
    assert absolute("t.txt") == str(tmp_path / "t.txt")
    assert absolute("t.txt:train") == f"{tmp_path / 't.txt'}:train"
    assert absolute("t.txt", Path("elsewhere")) == "t.txt"
    for name in ("owner/name", "owner/name:train", "zoo:x", "bundled:x", "", "x" * 5000, "a\0b"):
        assert absolute(name) == name


def test_a_home_folder_is_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "t.txt").touch()
    assert absolute("~/t.txt") == str(tmp_path / "t.txt")
    assert expanded("~/no.txt") == tmp_path / "no.txt"


@pytest.mark.parametrize(
    "read",
    [
        absolute,
        cache_root,
        runs_root,
        mc.Recipe.from_yaml,
        lambda name: mc.build_hybrid([name]),
        mc.reproduce,
    ],
)
def test_an_unknown_home_folder_is_named(read):
    with pytest.raises(ValueError, match="'~nosuchuser/x' begins with a home folder"):
        read(UNKNOWN)


def test_a_component_in_an_unknown_home_folder_is_a_component_that_cannot_be_loaded():
    with pytest.raises(ComponentError, match="home folder"):
        mc.load_component(UNKNOWN)


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch):
    for variable in ("HOME", "MANTICORE_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)  # nobody's
    with pytest.raises(ValueError, match=r"no home folder\. Set MANTICORE_CACHE"):
        cache_root()


def test_the_threads_of_a_worker_sleep_while_they_wait_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert worker_environment()["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert worker_environment()["OMP_WAIT_POLICY"] == "ACTIVE"

"""Ids and paths never leave the runs folder."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manticore.store.folder import (
    ROOT_VARIABLE,
    is_run_id,
    new_run_id,
    run_folder,
    runs_root,
    slug,
)

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "/etc",
    "a/b",
    "a\\b",
    "C:\\x",
    "a\0b",
    "a\nb",
    "a ",
    "-a",
    "a-",
    "a--b",
    "A",
    "é",
    "a\u2024",
    "\u0661",
    "a" * 81,
    ".hidden",
    None,
    7,
    b"a",
]


@pytest.mark.parametrize("run_id", HOSTILE)
def test_hostile_ids_are_refused_by_name(run_id, tmp_path):
    with pytest.raises(ValueError, match="is not a run id") as error:
        run_folder(run_id, tmp_path)
    assert repr(run_id)[:50] in str(error.value)


@given(st.text(max_size=100))
def test_whatever_the_id_its_folder_is_a_child_of_the_root(run_id):
    root = runs_root("/nowhere/runs")
    try:
        folder = run_folder(run_id, root)
    except ValueError:
        return
    assert folder.parent == root
    assert os.path.normpath(folder) == str(folder)


@given(st.text(max_size=300))
def test_any_label_makes_a_valid_new_id(label):
    run_id = new_run_id(label)
    assert is_run_id(run_id)
    assert re.fullmatch(r"[a-z0-9-]*", slug(label))


def test_new_ids_sort_by_time_and_differ():
    ids = [new_run_id("x") for _ in range(50)]
    assert len(set(ids)) == 50
    stamps = [run_id.rsplit("-", 2)[0] for run_id in ids]
    assert stamps == sorted(stamps)


def test_accents_are_kept_as_plain_letters():
    assert slug("  Ünï cödé / ../ Test ") == "uni-code-test"


def test_a_link_out_of_the_root_is_refused(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "runs"
    root.mkdir()
    (root / "linked").symlink_to(outside)
    with pytest.raises(ValueError, match="outside"):
        run_folder("linked", root)


def test_a_root_that_is_itself_a_link_works(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    assert run_folder("a1", tmp_path / "runs") == (tmp_path / "disk" / "a1").resolve()


def test_root_is_the_argument_then_the_variable_then_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    assert runs_root() == (tmp_path / "runs").resolve()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "elsewhere"))
    assert runs_root() == (tmp_path / "elsewhere").resolve()
    assert runs_root(tmp_path / "given") == (tmp_path / "given").resolve()

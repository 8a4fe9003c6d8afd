"""Runs that are deleted, brought back and cleared away."""

from collections.abc import Callable
from pathlib import Path

import pytest

from manticore.runs import Run, RunError, runs
from manticore.runs.launch import make_run_folder
from manticore.runs.trash import clear_trash, discard, restore
from manticore.store.status import write_status
from tests.tiny_runs import do_here, run_config

Component = Callable[..., str]


@pytest.fixture(scope="module")
def done(component: Component, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search of two steps."""
    root = tmp_path_factory.mktemp("runs")
    options = {"steps": 2, "batch_size": 2, "eval_batches": 1, "sample_prompt": ""}
    config = run_config(root, [component("gpt_neox"), component("mamba")], options=options)
    return do_here(Run(make_run_folder(config, root=root / "runs")))


def test_a_deleted_run_comes_back_as_it_was(done: Run) -> None:
    root, events = done.folder.parent, done.events()
    discard(done)
    assert runs(root) == []
    assert restore(done.id, root).events() == events
    assert [run.id for run in runs(root)] == [done.id]
    with pytest.raises(KeyError, match="no deleted run"):
        restore(done.id, root)
    for name in ("../runs", ".deleted-x", ""):
        with pytest.raises(ValueError, match="not a run id"):
            restore(name, root)


def test_what_is_cleared_away_is_gone_and_the_others_stay(done: Run, tmp_path: Path) -> None:
    copies = [Run(make_run_folder(done.config, root=tmp_path)) for _ in range(2)]
    for copy in copies:
        write_status(copy.folder, "stopped")
    discard(copies[0])
    assert clear_trash(tmp_path) == 1
    assert clear_trash(tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == [copies[1].id]
    assert clear_trash(tmp_path / "nowhere") == 0


def test_a_run_at_work_is_not_deleted(done: Run, tmp_path: Path) -> None:
    at_work = Run(make_run_folder(done.config, root=tmp_path))
    write_status(at_work.folder, "running")
    with pytest.raises(RunError, match="stop it"):
        discard(at_work)
    assert at_work.folder.is_dir()

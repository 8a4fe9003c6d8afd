"""The page's view of runs: a hybrid is loaded once, and again when it has changed."""

import time

import pytest

from app.open_runs import hybrid_of
from manticore import build_hybrid
from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder


def test_a_hybrid_is_loaded_once_until_it_changes(component, tmp_path):
    hybrid = build_hybrid([component("gpt2")], n_blocks=2, projector_init="identity")
    config = RunConfig(components=hybrid.component_names, n_blocks=2, data={"source": "x"})
    run = Run(make_run_folder(config, root=tmp_path))
    with pytest.raises(FileNotFoundError, match="no hybrid yet"):
        hybrid_of(run)
    hybrid.save_pretrained(run.folder / "result" / "hybrid")
    first = hybrid_of(run)
    assert hybrid_of(run) is first
    time.sleep(0.02)
    (run.folder / "result" / "hybrid" / "note").touch()
    assert hybrid_of(run) is not first

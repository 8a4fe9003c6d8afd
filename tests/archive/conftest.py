"""A run that is done, for all that is exported and imported here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from manticore.archive import export_run
from manticore.runs import Run
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from tests.tiny_runs import do_here, run_config


@pytest.fixture(scope="package")
def done(component: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search of two steps, with a name, a note and a warning that are not markup."""
    root = tmp_path_factory.mktemp("runs")
    options = {"steps": 2, "batch_size": 2, "eval_batches": 1, "sample_tokens": 4}
    config = run_config(root, [component("gpt_neox"), component("mamba")], options=options)
    run = do_here(Run(make_run_folder(config, root=root / "runs")))
    with EventWriter(run.folder) as events:
        events.emit("warning", message="Block 2 </script> collapsed", sign="x")
    return run.rename("Fox | <b>hunt</b>: `1`", note="first try\n# not a title")


@pytest.fixture(scope="package")
def exported(done: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its zip file."""
    return export_run(done, tmp_path_factory.mktemp("zip") / "run.zip")

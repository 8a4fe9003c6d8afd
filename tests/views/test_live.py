"""`run.watch()` in a real kernel: the output moves after the cell has returned, up to the end."""

import json

import nbformat
import pytest
from nbclient import NotebookClient

from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.store.status import write_status
from manticore.views.notebook.live import LiveView, status_line
from tests.tiny_runs import PROGRAMMED, programming_events, programming_run

WRITE = """
import threading, time
from manticore.store.status import write_status
from manticore.store.events import EventWriter

def work():
    with EventWriter(run.folder) as events:
        for step in range(1, 5):
            time.sleep(0.3)
            events.emit("step", step=step, loss=3.0, lr={}, tokens_per_s=9.0, eta_s=1.0)
            events.emit("mixture", step=step, weights=[[0.75, 0.25]], components=["a", "b"])
        metrics = {"perplexity": 2.5, "components": {"a": 4.0, "b": 5.0}}
        events.emit("eval", step=4, metrics=metrics)
        events.emit("sample", step=4, prompt="Once", text="Once <upon>")
    write_status(run.folder, "done")
threading.Thread(target=work).start()
"""


DRAWN = """
import json
mixture, _, bars = view.figures
print(json.dumps([[list(trace.y) for trace in mixture.data], list(bars.data[0].x)]))
"""


@pytest.fixture
def run(tmp_path):
    config = RunConfig(components=["a", "b"], n_blocks=1, data={"source": "x"})
    folder = make_run_folder(config, root=tmp_path)
    with EventWriter(folder) as events:
        events.emit("stage", name="search", total_steps=4)
        events.emit("mixture", step=0, weights=[[0.5, 0.5]], components=["a", "b"])
    return Run(folder)


def test_the_output_of_a_cell_follows_the_run(run):
    start = f"from manticore.runs import Run, write_status\nrun = Run({str(run.folder)!r})\n"
    cells = [
        start + 'write_status(run.folder, "running")',
        "view = run.watch()",
        "returned_while = run.status.state",
        WRITE,
        "view.wait(60); print(returned_while, run.status.state)",
        DRAWN,
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert notebook.cells[4].outputs[0].text.split() == ["running", "done"]
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    models = [model["state"] for model in state.values()]
    texts = " ".join(model["value"] for model in models if "value" in model)
    assert "step 4 of 4" in texts
    assert "Once &lt;upon&gt;" in texts
    weights, bars = json.loads(notebook.cells[5].outputs[0].text)
    assert [0.5, 0.75, 0.75, 0.75, 0.75] in weights
    assert bars == [2.5, 4.0, 5.0]


def test_a_cell_that_ends_with_watching_shows_it_once(run):
    write_status(run.folder, "done")
    start = f"from manticore.runs import Run\nview = Run({str(run.folder)!r}).watch()\nview"
    cells = [nbformat.v4.new_code_cell(code) for code in (start, "view", "view")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert [len(cell.outputs) for cell in notebook.cells] == [1, 1, 1]
    for cell in notebook.cells:
        assert "application/vnd.jupyter.widget-view+json" in cell.outputs[0].data


def test_programming_is_watched_by_task(tmp_path):
    run = programming_run(tmp_path, "stopped", upto=10)
    view = LiveView(run)
    assert "recall" in view.status.value
    with EventWriter(run.folder) as events:
        events.emit("warning", message="not <learned>", task=PROGRAMMED[0])
        for event in list(programming_events())[10:]:
            events.emit(**event)
    write_status(run.folder, "done")
    view.start().wait(60)
    mixture, _, bars = view.figures
    assert list(bars.data[0].y) == ["recall", "memorization"]
    assert list(bars.data[0].x) == [0.5, 0.75]
    assert list(mixture.layout.xaxis.ticktext)[-1] == "combined"
    assert "memorization" not in view.status.value
    assert "Recall: not &lt;learned&gt;" in view.warnings.value


def test_a_run_that_failed_says_why(run):
    with EventWriter(run.folder) as events:
        events.emit("failed", cause="no <text>", remedy="Give one.")
    write_status(run.folder, "failed", message="no <text>")
    line = status_line(run.summary())
    assert "failed" in line
    assert "no &lt;text&gt; Give one." in line

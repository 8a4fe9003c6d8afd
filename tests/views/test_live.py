"""`run.watch()` in a real kernel: the output moves after the cell has returned, up to the end."""

import nbformat
import pytest
from nbclient import NotebookClient

from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.store.status import write_status
from manticore.views.notebook.outputs import MIMETYPE
from manticore.views.notebook.picture import picture_of, status_line
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
VIEW = "application/vnd.jupyter.widget-view+json"
HTML = "text/html"


@pytest.fixture
def run(tmp_path):
    config = RunConfig(components=["a", "b"], n_blocks=1, data={"source": "x"})
    folder = make_run_folder(config, root=tmp_path)
    with EventWriter(folder) as events:
        events.emit("stage", name="search", total_steps=4)
        events.emit("mixture", step=0, weights=[[0.5, 0.5]], components=["a", "b"])
    return Run(folder)


@pytest.fixture(scope="module")
def kernel():
    """One kernel for all notebooks here: what takes long is its start."""
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=120, kernel_name="python3")
    with client.setup_kernel():
        yield client


@pytest.fixture
def execute(kernel, run):
    """`execute(code, ...)`: the executed cells, in a kernel where `run` is the run."""

    def execute_cells(*codes):
        cells = [nbformat.v4.new_code_cell(code) for code in codes]
        for cell in cells:
            kernel.nb.cells.append(cell)
            kernel.execute_cell(cell, len(kernel.nb.cells) - 1)
        return cells

    execute_cells(f"from manticore.runs import Run, write_status\nrun = Run({str(run.folder)!r})")
    return execute_cells


def shown(cell):
    """What the outputs of a cell show, by MIME type, without those that show nothing."""
    return [output.data for output in cell.outputs if output.get("data")]


def figures(cell):
    return [data[MIMETYPE] for data in shown(cell) if MIMETYPE in data]


def test_the_output_of_a_cell_follows_the_run_and_stays_without_a_kernel(execute, run):
    write_status(run.folder, "running")
    watching, _, waiting = execute(
        "view = run.watch()\nreturned_while = run.status.state",
        WRITE,
        "view.wait(60); print(returned_while, run.status.state)",
    )
    assert waiting.outputs[0].text.split() == ["running", "done"]
    # The widget has gone, and plain outputs have taken its place.
    assert not [data for data in shown(watching) if VIEW in data]
    words = [data[HTML] for data in shown(watching) if HTML in data]
    assert "step 4 of 4" in words[0]
    assert words[-1] == "<i>Once &lt;upon&gt;</i>"
    mixture, now, loss, bars = figures(watching)
    assert mixture["data"][0]["name"] == "a"
    assert [note["text"] for note in now["layout"]["annotations"]] == ["0.75", "0.25"]
    assert loss["layout"]["xaxis"]["title"]["text"] == "step"
    assert bars["data"][0]["x"] == [2.5, 4.0, 5.0]


@pytest.mark.parametrize(("renderer", "kind"), [("plotly_mimetype", VIEW), ("vscode", MIMETYPE)])
def test_a_run_moves_in_a_widget_only_where_plain_figures_do_not(execute, run, renderer, kind):
    write_status(run.folder, "running")
    choose = f"import plotly.io; plotly.io.renderers.default = {renderer!r}\n"
    watching, _, _, moving = execute(
        f"{choose}view = run.watch()",
        WRITE,
        "import time\nwhile 'step' not in view.picture.status: time.sleep(0.05)",
        "print(run.is_alive)",
    )
    assert moving.outputs[0].text.strip() == "True"
    kinds = {name for data in shown(watching) for name in data}
    assert kinds & {VIEW, MIMETYPE} == {kind}
    if kind == MIMETYPE:
        assert "step" in shown(watching)[0][HTML]
    execute("view.wait(60)")
    assert len(figures(watching)) == 4


def test_a_cell_that_ends_with_watching_shows_the_run_once(execute, run):
    write_status(run.folder, "done")
    watching, again = execute("view = run.watch()\nview.wait()\nview", "view")
    assert len(figures(watching)) == len(figures(again)) == 4


def test_the_newest_view_of_a_run_moves_and_the_one_before_keeps_its_picture(execute, run):
    write_status(run.folder, "running")
    first, second, *_ = execute("run.watch()", "view = run.watch()", WRITE, "view.wait(60)")
    words = ["".join(data.get(HTML, "") for data in shown(cell)) for cell in (first, second)]
    assert "running" in words[0]
    assert "done" in words[1]
    assert len(figures(first)) == 4


def test_programming_is_watched_by_task(tmp_path):
    run = programming_run(tmp_path, "stopped", upto=10)
    assert "recall" in picture_of(run).status
    with EventWriter(run.folder) as events:
        events.emit("warning", message="not <learned>", task=PROGRAMMED[0])
        for event in list(programming_events())[10:]:
            events.emit(**event)
    write_status(run.folder, "done")
    picture = picture_of(run)
    drawn = {panel.name: panel.figure for panel in picture.panels}
    assert list(drawn["outcome"].data[0].y) == ["recall", "memorization"]
    assert list(drawn["outcome"].data[0].x) == [0.5, 0.75]
    assert list(drawn["mixture"].layout.xaxis.ticktext)[-1] == "combined"
    assert "memorization" not in picture.status
    assert "Recall: not &lt;learned&gt;" in picture.status


def test_a_run_that_failed_says_why(run):
    with EventWriter(run.folder) as events:
        events.emit("failed", cause="no <text>", remedy="Give one.")
    write_status(run.folder, "failed", message="no <text>")
    line = status_line(run.summary())
    assert "failed" in line
    assert "no &lt;text&gt; Give one." in line

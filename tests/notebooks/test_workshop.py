"""The workshop's notebooks: every one runs, its exercises judge, and what it shows is true.

They run in quick mode, in one kernel after the other: the same cells with fewer steps. The kernel's
runs are forked like those of all tests.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from manticore import workshop
from manticore.cli import app
from manticore.names import UnknownNameError
from manticore.workshop import NOT_ANSWERED, check
from tools import notebooks

pytest.importorskip("nbclient", reason="needs the package nbclient")

SOURCES = notebooks.sources()
NAMES = [source.stem for source in SOURCES]
ROOT = Path(__file__).resolve().parents[2]
TAUGHT: dict[str, str] = {
    "01-first-hybrid": """
assert measured["even"] < measured["tales-neox"] < measured["novelas-mamba"]
assert furthest([1, 0]) < 1e-4 < furthest([0.9, 0.1])""",
    "02-projectors": """
assert before["aligned"] < before["identity"] < before["random"]
assert better.mixture_weights.tolist() != aligned.mixture_weights.tolist()""",
    "03-mixture-weights": """
assert min(map(min, curves.values())) > 70, "no single line finds it"
assert trace(run)[0] > 100 > 3 > min(trace(run).values()), "alpha decides"
assert ends["probe"] < 2.3 < ends["darts"]""",
    "04-routing": """
assert found[0] < 4 < measured["even"] / 10, "the router alone is worth it"
assert [name for name, _ in stretches(SWITCHING)].count("novelas-mamba") >= 1""",
    "05-mad-and-programming": """
assert set(run.metrics()["tasks"]) == set(SEARCHED)
assert accuracy(rule, recall) == 1 > chance_accuracy(recall)""",
    "06-does-a-hybrid-win": """
assert 1.5 < cost["hybrid"] / cost["tales-neox"] < 2.5
assert set(who for who, _ in judged.values()) == {"hybrid", "level", "rival"}""",
    "07-more-components": """
for kind, specialist in zip(kinds, names, strict=True):
    assert measured[specialist][kind] == min(row[kind] for row in measured.values())
    assert measured["routed"][kind] < measured["even"][kind]""",
    "08-bring-your-own": """
assert cost["as it was"] < cost["transplanted"], "a new vocabulary costs something"
assert torch.equal(again(ids).logits, hybrid(ids).logits)""",
    "09-lab": """
assert min(pairs.values()) < pairs[1, 4]
assert curve[max(curve)] < curve[min(curve)]""",
}
"""What must hold in each notebook's kernel after its last cell, for it to teach what it says."""
SETUP = f"""
import os, sys, torch
sys.path.insert(0, {str(ROOT)!r})
sys.modules["__main__"].__spec__ = None  # which multiprocessing asks for, and %reset takes away
from manticore.hybrid import build
from manticore.runs import launch
from tests import forked
build.ALIGNMENT_TOKENS = 1024  # a quarter: as true, and sooner fitted
launch.start_process = launch.start_fresh_process = forked.start_process
torch.set_num_threads(1)
"""


def executed(name: str) -> nbformat.NotebookNode:
    return nbformat.read(notebooks.NOTEBOOKS / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    from jupyter_client.manager import KernelManager

    folder = tmp_path_factory.mktemp("kernel")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MANTICORE_RUNS", str(folder / "runs"))
        patched.setenv("OMP_NUM_THREADS", "1")
        patched.setenv("PYTHONPATH", str(ROOT))
        manager = KernelManager()
        manager.start_kernel(cwd=str(folder))
        yield manager
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_a_notebook_runs_and_its_exercises_judge(source: Path, kernel) -> None:
    from nbclient import NotebookClient

    notebook = notebooks.with_solutions(notebooks.read(source, quick=True))
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"%reset -f\n{SETUP}"))
    notebook.cells.append(nbformat.v4.new_code_cell(TAUGHT[source.stem]))
    NotebookClient(notebook, km=kernel, timeout=120).execute()
    verdicts = notebooks.verdicts(notebook)
    assert 2 <= len(verdicts) // 2 <= 4, "exercises"
    assert all(NOT_ANSWERED in verdict for verdict in verdicts[::2])
    assert all(verdict.startswith("✓") for verdict in verdicts[1::2]), verdicts


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_as_its_source_says_with_its_outputs(name: str) -> None:
    source, made = notebooks.read(notebooks.SOURCES / f"{name}.py"), executed(name)
    assert [(c.cell_type, c.source) for c in made.cells] == [
        (c.cell_type, c.source) for c in source.cells
    ], f"run `python -m tools.notebooks {name[:2]}`"
    outputs = [output for cell in made.cells for output in cell.get("outputs", [])]
    assert outputs
    assert {output["output_type"] for output in outputs} <= {
        "display_data",
        "execute_result",
        "stream",
    }
    streams = {output["name"] for output in outputs if output["output_type"] == "stream"}
    assert streams <= {"stdout"}, "no bars and no warnings of other libraries"
    text = json.dumps(made)
    assert not re.search(r"/(work|tmp|home|root)/", text), "no place on somebody's machine"
    assert len(text) < 1_500_000
    assert set(notebooks.verdicts(made)) == {f"… {NOT_ANSWERED}"}, "exercises are left open"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_asks_first_and_says_at_the_end_what_was_seen(name: str) -> None:
    texts = [cell.source for cell in executed(name).cells if cell.cell_type == "markdown"]
    assert re.match(rf"# {int(name[:2])} · ", texts[0])
    assert "Guess" in texts[0]
    assert "on two cores" in texts[0], "its time is told"
    assert "## What was seen" in texts[-1]
    for link in re.findall(r"\]\(([\w-]+\.ipynb)\)", "".join(texts)):
        assert (notebooks.NOTEBOOKS / link).is_file(), link


def test_a_check_tells_right_from_wrong_and_open() -> None:
    words = {"right": "Yes.", "wrong": lambda answer: f"{answer} is too small."}
    right = check(3, lambda answer: answer > 2, **words)
    assert right
    assert repr(right) == "✓ Yes."
    wrong = check(1, lambda answer: answer > 2, **words)
    assert not wrong
    assert repr(wrong) == "✗ 1 is too small."
    unanswered = check(..., lambda answer: answer > 2, **words)
    assert not unanswered
    assert unanswered.state == "open"
    assert "role=" in unanswered._repr_html_()
    assert "could not be judged" in repr(check("two", lambda answer: answer > 2, **words))


def test_a_parameter_that_is_not_there_is_refused() -> None:
    notebook = notebooks.read(SOURCES[0])
    with pytest.raises(ValueError, match="STEPS is not assigned"):
        notebooks.replace_parameter(notebook, "STEPS", 1)


def test_a_notebook_is_copied_and_never_over_another_one(tmp_path: Path) -> None:
    copy = workshop.copy_notebook("1", tmp_path / "new")
    assert copy.name == f"{NAMES[0]}.ipynb"
    original = notebooks.NOTEBOOKS / copy.name
    assert copy.read_bytes() == original.read_bytes()
    with pytest.raises(FileExistsError, match="may hold your answers"):
        workshop.copy_notebook(NAMES[0], tmp_path / "new")
    with pytest.raises(UnknownNameError, match="Did you mean"):
        workshop.copy_notebook("01-first", tmp_path)


def test_the_command_lists_and_copies(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(app, ["notebook"])
    assert [line.split()[0] for line in listed.output.splitlines()] == NAMES
    copied = CliRunner().invoke(app, ["notebook", "01"])
    assert "jupyter lab 01-first-hybrid.ipynb" in copied.output
    assert (tmp_path / "01-first-hybrid.ipynb").is_file()

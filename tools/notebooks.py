"""Run the workshop's notebooks from their sources, and write them with their outputs.

    python -m tools.notebooks            all of them
    python -m tools.notebooks 03 05      some
    python -m tools.notebooks --try 03   with fewer steps and all solutions; nothing is written

The sources, `notebooks/source/*.py`, are cells as text (jupytext's percent format): changes of them
can be reviewed. A cell with the tag `parameters` assigns constants, one to a line; what the
notebook's metadata gives under `manticore.quick` replaces them in quick mode. A cell with the tag
`exercise` leaves an answer open, the next one with the tag `check` judges it, and the text after
that has the solution, as a block of Python.
"""

import argparse
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from playwright.sync_api import sync_playwright
from plotly.offline import get_plotlyjs

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SOURCES = NOTEBOOKS / "source"
FIGURE = "application/vnd.plotly.v1+json"
DRAW = """
(figure) => Plotly.toImage(figure, {format: "png", width: 760, height: figure.layout.height ?? 360})
"""
STATE = "application/vnd.jupyter.widget-state+json"
SOLUTION = re.compile(r"```python\n(.*?)```", re.DOTALL)
TIMEOUT = 600
"""Seconds that a cell may take."""


def main() -> None:
    """Run the notebooks that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="beginnings of their names; all if none is given")
    parser.add_argument(
        "--try",
        dest="tried",
        action="store_true",
        help="fewer steps, and each exercise with its solution too; nothing is written",
    )
    arguments = parser.parse_args()
    chosen = [path for path in sources() if path.stem.startswith(tuple(arguments.names or [""]))]
    if not chosen:
        parser.error(f"No notebook begins with {' or '.join(arguments.names)}.")
    for path in chosen:
        notebook = read(path, quick=arguments.tried)
        if arguments.tried:
            notebook = with_solutions(notebook)
        began = time.monotonic()
        execute(notebook)
        print(f"{path.stem}: {time.monotonic() - began:.0f} s", flush=True)
        for judged in verdicts(notebook):
            print(f"  {judged}")
        if not arguments.tried:
            nbformat.write(notebook, NOTEBOOKS / f"{path.stem}.ipynb")


def sources() -> list[Path]:
    """The sources of all notebooks, in their order."""
    return sorted(SOURCES.glob("*.py"))


def read(source: Path, *, quick: bool = False) -> nbformat.NotebookNode:
    """A notebook without outputs.

    Args:
        source: Its source.
        quick: Whether to replace the parameters.

    Raises:
        ValueError: A parameter that is to be replaced is not assigned.
    """
    notebook = jupytext.read(source)
    # Ids that stay: a notebook that is written again changes where its outputs do.
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
    if quick:
        for name, value in notebook.metadata.get("manticore", {}).get("quick", {}).items():
            replace_parameter(notebook, name, value)
    return notebook


def replace_parameter(notebook: nbformat.NotebookNode, name: str, value: object) -> None:
    """Assign another value in the cell with the tag `parameters`.

    Args:
        notebook: The notebook, which is changed.
        name: Name of the parameter.
        value: Its new value.

    Raises:
        ValueError: The parameter is not assigned there.
    """
    assignment = re.compile(rf"^{name} = .*$", re.MULTILINE)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []) and assignment.search(cell.source):
            cell.source = assignment.sub(f"{name} = {value!r}", cell.source)
            return
    raise ValueError(f"{name} is not assigned in a cell with the tag `parameters`.")


def with_solutions(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook in which each exercise is judged twice: as it is, and after its solution.

    Args:
        notebook: The notebook, which stays as it is.

    Raises:
        ValueError: A check is not followed by a solution.
    """
    cells = []
    for cell, after in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        cells.append(cell)
        if "check" in cell.metadata.get("tags", []):
            found = SOLUTION.search(after.source) if after else None
            if found is None:
                raise ValueError(f"No solution follows the check:\n{cell.source}")
            again = nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata)
            cells += [nbformat.v4.new_code_cell(found[1]), again]
    return nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)


def verdicts(notebook: nbformat.NotebookNode) -> list[str]:
    """What the checks of a notebook that was executed say, in their order."""
    return [
        output["data"]["text/plain"]
        for cell in notebook.cells
        if "check" in cell.metadata.get("tags", [])
        for output in cell.outputs
        if output["output_type"] == "execute_result"
    ]


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run all cells in a folder of their own, with runs that nobody else has.

    Args:
        notebook: The notebook, which gets the outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MANTICORE_RUNS": f"{folder}/runs"}
        # Widgets keep their state in the notebook, so that they are drawn without a kernel.
        NotebookClient(
            notebook,
            timeout=TIMEOUT,
            resources={"metadata": {"path": folder}},
            record_timing=False,
        ).execute(env=environment)
    _keep_shown_widgets(notebook)
    add_images(notebook)


def add_images(notebook: nbformat.NotebookNode) -> None:
    """Add a picture to each figure, as JupyterLab does it: code hosts draw no figures.

    Args:
        notebook: The notebook, whose outputs are changed. Without Chromium they stay as they are.
    """
    found = [
        output["data"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if FIGURE in output.get("data", {})
    ]
    for data, image in zip(found, pictures([data[FIGURE] for data in found]), strict=False):
        data["image/png"] = image


def pictures(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Figures as PNG, in base64, drawn by Chromium; none where there is no Chromium.

    Args:
        figures: Figures in Plotly's JSON.
    """
    chromium = shutil.which("chromium") or shutil.which("chrome")
    if chromium is None or not figures:
        return []
    with sync_playwright() as driver:
        page = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        page.add_script_tag(content=get_plotlyjs())
        urls: list[str] = [page.evaluate(DRAW, figure) for figure in figures]
    return [url.partition(",")[2] for url in urls]


def _keep_shown_widgets(notebook: nbformat.NotebookNode) -> None:
    """Forget the state of widgets that no output shows any more, such as of runs that ended."""
    kept = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    wanted, seen = json.dumps([cell.get("outputs", []) for cell in notebook.cells]), set()
    while found := {name for name in kept.keys() - seen if name in wanted}:
        seen |= found
        # Widgets name their children.
        wanted += json.dumps([kept[name] for name in found])
    for name in kept.keys() - seen:
        del kept[name]
    if not kept:
        notebook.metadata.pop("widgets", None)


if __name__ == "__main__":
    main()

"""What README and docs say is so: commands parse, Python names what exists, figures are measured.

Commands run in full elsewhere; here each is only read, which costs nothing.
"""

import ast
import importlib.util
import inspect
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer

import manticore as mc
from manticore.cli import app
from manticore.recipes.recipe import bundled_recipes
from manticore.recipes.tables import table_names
from tools.doc_tables import TABLES, filled

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MEASURED = [
    page for page in sorted((ROOT / "docs" / "results").glob("*.md")) if page.name != "README.md"
]
LANGUAGES = {"python", "sh", "text", "toml", "yaml"}
OBJECTS = {"hybrid": mc.ManticoreForCausalLM, "run": mc.Run, "recipe": mc.Recipe}
"""What the names in the examples are."""


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for match in fence.finditer(page.read_text(encoding="utf-8")):
        yield match[1], match[2]


def _lines(page: Path) -> Iterator[str]:
    """Each command of a page: lines of shell blocks, and `manticore ...` within sentences."""
    for language, text in _blocks(page):
        if language == "sh":
            yield from (line for line in text.splitlines() if line.strip())
    prose = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    yield from (" ".join(line.split()) for line in re.findall(r"`(manticore [^`]+)`", prose))


COMMANDS = [(page, line) for page in PAGES for line in _lines(page)]
EXAMPLES = [
    (page, text) for page in PAGES for language, text in _blocks(page) if language == "python"
]


def _parse(arguments: list[str]) -> None:
    """Read the arguments of `manticore` as the shell would, and run nothing.

    A command's bare name is how a sentence speaks of it: then it only has to be there.
    """
    command, rest = typer.main.get_command(app), list(arguments)
    while hasattr(command, "get_command") and rest and not rest[0].startswith("-"):
        context = command.make_context("manticore", [], resilient_parsing=True)
        name = rest.pop(0)
        command = command.get_command(context, name)
        assert command is not None, f"there is no command {name}"
    if rest and rest != ["--help"]:
        command.make_context(" ".join(arguments), rest)


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: str(value)[-60:])
def test_a_command_can_be_run_as_it_is_written(page: Path, line: str) -> None:
    program, *arguments = shlex.split(line, comments=True)
    if program == "manticore":
        _parse(arguments)
        command, first = [*arguments, "", ""][:2]
        if first and command == "reproduce":
            assert first in {"last", "tables", *table_names()}
        if first and command in {"recipe", "sweep"}:
            assert first in bundled_recipes()
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets)
    elif program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        named = re.findall(r"(?:\.|manticore-hybrids)\[([\w,]+)\]", line)
        assert {extra for found in named for extra in found.split(",")} <= set(
            project["optional-dependencies"]
        )
    else:
        assert program in {"accelerate", "python", ".venv/bin/python"}
        module = arguments[arguments.index("-m") + 1]
        assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize(("page", "text"), EXAMPLES, ids=lambda value: str(value)[-40:])
def test_an_example_names_what_exists(page: Path, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "mc":
                assert node.attr in mc.__all__
            elif node.value.id in OBJECTS:
                known = OBJECTS[node.value.id]
                bases = [base for base in known.__mro__ if base.__module__.startswith("manticore.")]
                sources = [inspect.getsource(base) for base in bases]
                assert hasattr(known, node.attr) or any(node.attr in text for text in sources)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            function = getattr(mc, node.func.attr, None)
            if callable(function) and isinstance(node.func.value, ast.Name):
                signature = inspect.signature(function)
                keywords = {keyword.arg: None for keyword in node.keywords}
                signature.bind_partial(*node.args, **keywords)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_a_page_is_well_formed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {language for language, _ in _blocks(page)} <= LANGUAGES
    assert text.count("```") == 2 * len(list(_blocks(page)))
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if not target.startswith("https://"):
            assert (page.parent / unquote(target)).exists(), f"a link to {target} leads nowhere"
    known = {
        name
        for file in (ROOT / "manticore").rglob("*.py")
        for name in re.findall(r"MANTICORE_[A-Z_]+", file.read_text(encoding="utf-8"))
    }
    assert set(re.findall(r"MANTICORE_[A-Z_]+", text)) <= known
    assert filled(text) == text, "a table is not up to date: run `python -m tools.doc_tables`"


def test_every_table_of_the_lists_stands_in_a_page() -> None:
    marked = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {name for name in TABLES if f"<!-- table: {name} -->" in marked} == set(TABLES)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def _numbers(value: Any) -> Iterator[float]:
    """Every number in a file of results."""
    if isinstance(value, dict):
        yield from (found for inner in value.values() for found in _numbers(inner))
    elif isinstance(value, list):
        yield from (found for inner in value for found in _numbers(inner))
    elif isinstance(value, int | float):
        yield float(value)


def _sources(page: Path) -> list[Path]:
    """The files that a page of results names as its data."""
    found = re.findall(r"\(([^)]+\.json)\)", page.read_text(encoding="utf-8"))
    return [(page.parent / unquote(target)).resolve() for target in found]


@pytest.mark.parametrize("page", MEASURED, ids=_name)
def test_every_figure_in_a_table_was_measured(page: Path) -> None:
    numbers = [n for source in _sources(page) for n in _numbers(json.loads(source.read_text()))]
    assert numbers
    rows = re.findall(r"^\|(?!---)(.*)\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    for row in rows[1:]:
        for cell in row.split("|")[1:]:
            for figure in re.findall(r"(?:(?<=\s)-)?\d+(?:\.\d+)?", cell.replace(",", "")):
                digits = len(figure.partition(".")[2])
                scales = (1, 100, 1000, 1e-6)  # as it is, percent, milliseconds, millions
                assert any(
                    f"{scale * number:.{digits}f}" == figure
                    for scale in scales
                    for number in numbers
                ), f"{figure} in the row {row}"


def test_every_file_of_results_has_its_page() -> None:
    told = {source for page in PAGES for source in _sources(page)}
    assert told == set(RESULTS.glob("*.json"))

"""Tables are measured by programs that only a checkout has."""

import importlib

import pytest

from manticore.recipes.tables import reproduce_table, table_names


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "harness.py").write_text("def helper():\n    pass\n")
    program = "import sys\ndef main():\n    sys.exit(int(sys.argv[1]))\nmain()\n"
    (folder / "speed.py").write_text(program)
    return tmp_path


def test_the_program_of_a_table_runs_with_its_arguments(checkout):
    assert table_names(checkout) == ["speed"]
    assert reproduce_table("speed", ["7"], checkout) == 7


@pytest.mark.parametrize("name", table_names())
def test_the_program_of_every_table_can_be_found(name):
    assert callable(importlib.import_module(f"benchmarks.{name}").main)


def test_what_is_no_table_is_named(checkout, tmp_path_factory):
    with pytest.raises(LookupError, match="choose one of speed"):
        reproduce_table("harness", [], checkout)
    with pytest.raises(LookupError, match="clone the project"):
        reproduce_table("speed", [], tmp_path_factory.mktemp("installed"))

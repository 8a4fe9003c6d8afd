"""To add a thing is to edit one place: what is registered from outside is found everywhere else.

A toy of each kind is added here. It must be in help, in the page's form and in the suggestion of an
error, and it must work.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from pydantic import PositiveInt
from typer.testing import CliRunner

import manticore as mc
from app.hybrid_form import strategy_choices
from app.main import build_page
from app.options import read_options
from app.tabs import TABS, Tab, tab_for
from manticore.cli import app
from manticore.components.families import FAMILIES, UnknownFamilyError
from manticore.components.spec import FamilySpec
from manticore.config.options import Options
from manticore.config.programming import ProgramConfig
from manticore.config.run import RunConfig
from manticore.config.search import SearchConfig
from manticore.config.setting import Setting
from manticore.hybrid.projectors import LinearProjector
from manticore.names import (
    PROJECTORS,
    STAGES,
    STRATEGIES,
    TASKS,
    TRACKERS,
    Entry,
    Stage,
    Strategy,
)
from manticore.paths import worker_environment
from manticore.recipes.recipe import Recipe
from manticore.search.darts import Darts
from manticore.tasks import Task
from manticore.views.panels import PANELS, Panel, panels_for, register_panel
from tests.app.zoo import use_tiny_zoo
from tests.tiny_runs import do_here

PAIR = ["zoo:tiny-neox", "zoo:tiny-mamba"]


class ToyStrategy(Darts):
    """Moves mixture weights as DARTS does."""


class ToyProjector(LinearProjector):
    """Maps as a linear projector does."""


class ToySetting(Setting, frozen=True):
    """Setting of the toy task."""

    vocabulary: PositiveInt = 8
    length: PositiveInt = 6
    train_examples: PositiveInt = 32
    test_examples: PositiveInt = 32


class ToyOptions(Options, frozen=True):
    """Options of the toy stage."""

    size: PositiveInt = 3
    """Size of the toy in cm."""


def echo(setting, draw):
    """Every target is its own input."""
    inputs = draw.rng.integers(setting.vocabulary, size=(draw.n_examples, setting.length))
    return inputs, np.array(inputs)


def play(folder, config, events, should_stop):
    """The toy stage: one event."""
    events.emit("warning", message=f"A toy of {config.options.size} cm.")
    return True


def build_tab(page):
    import gradio as gr

    gr.Markdown("A toy.", elem_id="toy-tab")


@pytest.fixture
def toys(monkeypatch):
    """One more of each kind."""
    monkeypatch.setitem(
        STRATEGIES,
        "toy",
        Strategy(
            home=ToyStrategy,
            about="Moves like a toy.",
            gradient=True,
            options=frozenset({"mixture_lr", "temperature"}),
            defaults={"mixture_lr": 0.5},
        ),
    )
    monkeypatch.setitem(PROJECTORS, "toy", Entry(home=ToyProjector, about="Maps like a toy."))
    task = Entry(home=Task(setting=ToySetting, generate=echo), about="Give back the token.")
    monkeypatch.setitem(TASKS, "toy", task)
    monkeypatch.setitem(TRACKERS, "toy", Entry(home="json", about="Keeps nothing."))
    stage = Stage(home=play, options=ToyOptions, about="Play with the hybrid.", needs_text=False)
    monkeypatch.setitem(STAGES, "toy", stage)
    monkeypatch.setitem(FAMILIES, "toy", FamilySpec("toy"))
    monkeypatch.setattr("manticore.views.panels.PANELS", dict(PANELS))
    register_panel(Panel("toy-panel", "The toy", lambda seen: go.Figure()))
    TABS.append(Tab("toy", "Toys", build_tab, lambda stage: stage == "toy"))
    yield
    TABS.pop()


def manticore(*arguments):
    wide = {"COLUMNS": "400", "TERMINAL_WIDTH": "400"}
    return CliRunner().invoke(app, list(map(str, arguments)), env=wide)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("", "toy Play with the hybrid."),
        ("toy", "--size <int range> [x>=1] Size of the toy in cm. [default: 3]"),
        ("search", "Strategy by which the mixture weights are found. One of"),
        ("search", "sweep, fixed or toy. [default: darts]"),
        ("search", "Gumbel-softmax. Used by dash, toy."),
        ("program", "sweep, fixed or toy."),
        ("program", "memorization or toy."),
        ("search", "linear, identity, mlp, low-rank or toy."),
        ("search", "tensorboard, trackio, wandb or toy."),
    ],
)
def test_it_is_in_help(command, says):
    words = " ".join(manticore(*command.split(), "--help").output.replace("│", " ").split())
    assert says in words


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    "arguments",
    [
        ["tyo"],
        ["search", "zoo:a", "--data", "x", "--strategy", "tyo"],
        ["search", "zoo:a", "--data", "x", "--projector", "tyo"],
        ["search", "zoo:a", "--data", "x", "--track", "tyo"],
        ["program", "zoo:a", "--task", "tyo"],
        ["mad", "--task", "tyo"],
    ],
)
def test_an_error_suggests_it(arguments):
    result = manticore(*arguments)
    assert result.exit_code
    assert "Did you mean 'toy'?" in " ".join(result.output.split())


@pytest.mark.usefixtures("toys")
def test_the_page_has_it(tmp_path):
    parts = build_page(read_options(["--runs-root", str(tmp_path)])).config["components"]
    chosen = {value for part in parts for _, value in part["props"].get("choices") or ()}
    ids = {part["props"].get("elem_id") for part in parts}
    labels = {part["props"].get("label") for part in parts}
    assert ("toy: Moves like a toy", "toy") in strategy_choices()
    assert "toy" in chosen
    projectors = [p["props"] for p in parts if p["props"].get("label") == "Projectors"]
    assert all(["toy", "toy"] in map(list, inputs["choices"]) for inputs in projectors)
    assert {"skill-toy", "toy-panel", "program-toy-panel", "toy-tab"} <= ids
    assert "Toys" in labels
    assert tab_for("toy").id == "toy"
    assert "toy-panel" in [panel.name for panel in panels_for("search")]


@pytest.mark.usefixtures("toys")
def test_configurations_take_it():
    assert SearchConfig(strategy="toy").mixture_lr == 0.5
    assert ProgramConfig().tasks["toy"] == 1
    hybrid = {"components": PAIR, "n_blocks": 2, "data": {}}
    assert RunConfig(**hybrid, stage="toy", toy={"size": 5}).options == ToyOptions(size=5)
    recipe = Recipe(components=PAIR, data="x", stages={"search": {"strategy": "toy"}, "toy": None})
    assert recipe.stage_names == ["search", "toy"]
    assert recipe.with_options({"toy.size": 9}).options("toy").size == 9
    assert (recipe.options("search").mixture_lr, recipe.text("toy")) == (0.5, None)
    assert "toy" in str(UnknownFamilyError("x", "it has no layers"))


@pytest.mark.usefixtures("toys")
def test_it_works(tmp_path, monkeypatch):
    use_tiny_zoo(tmp_path, monkeypatch)
    hybrid = mc.build_hybrid(PAIR, 2, projector="toy", projector_init="identity")
    text = mc.load_text(tmp_path / "text.txt", tokenizer=hybrid.tokenizer, seq_len=16)
    options = {"batch_size": 2, "eval_batches": 1, "sample_prompt": ""}
    run = do_here(mc.search(hybrid, text, "toy", 2, launch=False, **options))
    history = run.mixture_history()
    assert not np.allclose(history[0], history[-1])
    assert {type(projector) for projector in run.hybrid().projectors.each()} == {ToyProjector}
    programmed = mc.program(hybrid, ["toy"], 1, batch_size=2, eval_batches=1, launch=False)
    assert do_here(programmed).metrics()["tasks"].keys() == {"toy"}
    made = manticore("toy", run.id, "--size", 7, "--no-launch")
    assert made.exit_code == 0, made.output
    played = do_here(mc.runs()[0])
    assert [event["message"] for event in played.events() if event["kind"] == "warning"] == [
        "A toy of 7 cm."
    ]


PLUGIN = """
from manticore.names import STRATEGIES, Strategy
STRATEGIES["toy"] = Strategy(home="manticore.search.fixed:Fixed", about="Moves like a toy.")
"""


@pytest.fixture
def python(tmp_path, monkeypatch) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """`python(code)`: run it as a worker or a command is run."""
    (tmp_path / "my_toys.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(mc.__file__).parents[1]}")

    def run(code: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, check=False, env=worker_environment(), capture_output=True, text=True
        )

    return run


def test_workers_and_commands_import_plugins(python, monkeypatch):
    monkeypatch.setenv("MANTICORE_PLUGINS", "my_toys")
    code = "from manticore.config.search import SearchConfig; print(SearchConfig(strategy='toy'))"
    assert "strategy='toy'" in python(code).stdout


def test_a_plugin_that_is_not_there_is_named(python, monkeypatch):
    monkeypatch.setenv("MANTICORE_PLUGINS", "my_toys,their_toys")
    assert "names 'their_toys', which cannot be imported" in python("import manticore.cli").stderr

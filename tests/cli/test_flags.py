"""Flags follow the options: each option has one, and what a flag is given reaches its option."""

import inspect
import re
from typing import Annotated, Literal

import pytest
import typer
from pydantic import Field, PositiveFloat, PositiveInt
from typer.testing import CliRunner

from manticore.cli import app
from manticore.cli.flags import Flags
from manticore.config.options import FlagNames, Options
from manticore.config.run import HybridConfig, RunSettings
from manticore.config.search import SearchConfig
from manticore.config.text import TextConfig
from manticore.names import PROJECTORS, STAGES, STRATEGIES, NameIn

WIDE = {"COLUMNS": "250", "TERMINAL_WIDTH": "250"}
MODELS = [HybridConfig, RunSettings, TextConfig, *(e.load_options() for e in STAGES.values())]


class Paint(Options, frozen=True):
    panel = "Paint"

    color: Literal["red", "blue"] = "red"
    """Color of the paint."""
    coats: int = Field(default=1, ge=1)
    """Number of coats."""


class Toy(Options, frozen=True):
    panel = "Toy"

    wheels: Annotated[PositiveInt, FlagNames("--axles", value="WHEELS")] = 4
    """Number of wheels."""
    weight: float = Field(default=0.5, ge=0, le=2)
    """Weight in kg."""
    loud: bool = False
    """Make noise."""
    safe: bool = True
    """Have round edges."""
    projector: Annotated[str, NameIn(PROJECTORS)] = "linear"
    """Kind of projector."""
    sizes: tuple[int, ...] = ()
    """Sizes in cm."""
    span: tuple[PositiveFloat, PositiveFloat] = (1.0, 2.0)
    """Least and greatest age."""
    parts: dict[str, PositiveFloat] = Field(default_factory=dict)
    """Number of each part."""
    paint: Paint | None = None
    """The paint."""
    label: str | None = None
    """Text on it."""
    tree: dict[str, dict[str, int]] = Field(default_factory=dict)
    """A table of tables."""
    grid: tuple[tuple[float, ...], ...] | None = None
    """A list of lists."""
    only: Literal["this"] = "this"
    """No choice."""
    fixed: float = Field(default=0.0, ge=0, le=0)
    """No choice either."""


def invoke(arguments, model=Toy, skip=()):
    """What a command with the flags of `model` was given."""
    flags, found = Flags(model, skip), {}

    def command(context, **_):
        found.update(given=flags.given(context), names=flags.names_given(context))

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    command.__signature__ = inspect.Signature([context, *flags.parameters])
    toy = typer.Typer(rich_markup_mode="markdown")
    toy.command()(command)
    result = CliRunner().invoke(toy, list(map(str, arguments)), env=WIDE)
    return result, found


def help_of(*command):
    result = CliRunner().invoke(app, [*command, "--help"], env=WIDE)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["--axles", 4], {"wheels": 4}),
        (["--weight", "0.25"], {"weight": 0.25}),
        (["--loud"], {"loud": True}),
        (["--no-safe"], {"safe": False}),
        (["--projector", "mlp"], {"projector": "mlp"}),
        (["--size", 3, "--size", 5], {"sizes": [3, 5]}),
        (["--span", 2, 3.5], {"span": (2.0, 3.5)}),
        (["--part", "wheel=4", "--part", "horn"], {"parts": {"wheel": "4", "horn": "1"}}),
        (["--paint-coats", 2], {"paint": {"coats": 2}}),
        (["--paint-coats", 2, "--paint-color", "blue"], {"paint": {"coats": 2, "color": "blue"}}),
        (["--label", ""], {"label": ""}),
    ],
)
def test_what_is_given_reaches_its_option(arguments, given):
    result, found = invoke(arguments)
    assert result.exit_code == 0, result.output
    assert found["given"] == given
    assert Toy(**given) == Toy(**found["given"])
    named = {name.replace("no-", "") for name in map(str, arguments) if name.startswith("--")}
    assert set(found["names"]) == named


@pytest.mark.parametrize(
    "arguments",
    [
        ["--axles", 0],
        ["--weight", 2.5],
        ["--weight", "heavy"],
        ["--span", 1],
        ["--paint-coats", 0],
        ["--tree", "a"],
        ["--grid", "1"],
        ["--only", "this"],
        ["--fixed", 0],
        ["--wheels", 4],
    ],
)
def test_what_does_not_fit_is_refused_by_the_flag(arguments):
    result, _ = invoke(arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.output


@pytest.mark.parametrize("part", ["=4", "wheel="])
def test_pairs_need_name_and_number(part):
    result, _ = invoke(["--part", part])
    assert isinstance(result.exception, ValueError)
    assert "NAME=NUMBER" in str(result.exception)


def test_help_has_names_defaults_bounds_choices_and_descriptions():
    words = " ".join(invoke(["--help"])[0].output.replace("│", " ").split())
    assert re.search(r"--axles WHEELS \[x>=1\] Number of wheels\. \[default: 4\]", words)
    assert re.search(r"--weight +<float range> \[0<=x<=2\] +Weight in kg\.", words)
    assert f"Kind of projector. One of {PROJECTORS.described()}. [default: linear]" in words
    assert re.search(r"--size +NUMBER +Sizes in cm\. Repeat it for several\.", words)
    assert re.search(r"--paint-color +NAME +Color of the paint\. One of red or blue\.", words)
    assert "─ Paint ─" in words
    assert "--loud" in words
    assert "--no-loud" not in words
    assert "--no-safe" in words


def test_an_option_without_a_default_is_required():
    assert invoke([], TextConfig)[0].exit_code == 2
    assert invoke(["--data", "x"], TextConfig)[1]["given"] == {"source": "x"}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_option_is_described_in_one_paragraph(model):
    for name, field in model.model_fields.items():
        assert re.fullmatch(r"[^\n]+\.", field.description), name


@pytest.mark.parametrize("stage", STAGES)
def test_help_lists_every_option_of_a_stage_once(stage):
    words = help_of(stage)
    options = STAGES[stage].load_options()
    skip = ("seed", "dtype") if STAGES[stage].makes == "metrics" else ()
    groups = [Flags(options), Flags(RunSettings, skip)]
    groups += [Flags(TextConfig)] if STAGES[stage].needs_text else []
    names = [flag.name for group in groups for flag in group._flags]
    assert len(set(names)) == len(names)
    for name in names:
        assert len(re.findall(rf"(?m)^│ [* ]*{name}[ ,]", words)) == 1, name


def test_an_option_says_which_strategies_use_it():
    words = help_of("search")
    assert re.search(r"--temperature .* Used by dash\.", words)
    assert re.search(r"--prune-below .* Not used by routed, random, sweep, fixed\.", words)
    for option in SearchConfig.model_fields:
        users = [name for name, entry in STRATEGIES.items() if option in entry.options]
        assert bool(SearchConfig.note(option)) == bool(users)


def test_options_are_read_from_flags_of_every_kind(tmp_path):
    arguments = [
        "search",
        "zoo:not-there",
        "--data",
        "bundled:stories-en",
        "--temperature",
        "3",
        "1",
    ]
    result = CliRunner().invoke(app, arguments)
    assert "does not use temperature" in " ".join(result.output.split())
    result = CliRunner().invoke(app, [*arguments, "--strategy", "dash", "--held-out", "0.2"])
    assert "does not use held_out" in " ".join(result.output.split())
    result = CliRunner().invoke(app, [*arguments, "--strategy", "dash"])
    assert "not-there" in result.output

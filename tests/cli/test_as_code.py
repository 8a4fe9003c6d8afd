"""A run as Python and as a command: both do what the run does."""

import shlex
import subprocess

import pytest
from typer.testing import CliRunner

from manticore.cli import app
from manticore.cli.as_command import command_of
from manticore.runs import RunConfig, launch, runs, start_run
from manticore.views.as_code import python_of
from tests.app.zoo import use_tiny_zoo

ROUTED = {
    "steps": 12,
    "strategy": "routed",
    "router": {"threshold": 0.25, "fit_sequences": 8},
    "tied": True,
    "eval_every": 4,
}
CASES = {
    "routed": {"options": ROUTED, "projector": "mlp", "name": "it's mine", "head": "mixture"},
    # The default of the strategy is not the one in general, and the other way round.
    "gaea": {"options": {"steps": 5, "strategy": "gaea", "mixture_lr": 0.02}, "seed": 3},
    "dash": {"options": {"strategy": "dash", "temperature": (1.5, 0.5)}},
    "program": {
        "stage": "program",
        "data": {},
        "options": {
            "tasks": {"memorization": 0.5, "in-context-recall": 1},
            "lengths": (16, 32),
            "target_length": 64,
            "settings": {"memorization": {"train_examples": 64}},
        },
    },
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("as-code")
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_zoo(folder, patch)
        yield folder


def config_of(zoo, **fields):
    described = {
        "components": ("zoo:tiny-neox", "zoo:tiny-mamba"),
        "n_blocks": 2,
        "projector_init": "identity",
        "data": {"source": str(zoo / "text.txt"), "seq_len": 16},
    }
    return RunConfig.model_validate(described | fields)


def told(config):
    """Everything that a run does; where its hybrid came from may be said in two ways."""
    kept = config.model_dump(exclude={"start", "recipe", "mixture_weights", "data"})
    return kept, {k: config.data[k] for k in ("source", "seq_len", "seed") if k in config.data}


@pytest.mark.parametrize("case", CASES)
def test_both_do_what_the_run_does(zoo, case, monkeypatch):
    wanted = config_of(zoo, **CASES[case])
    monkeypatch.setattr(launch, "start_process", lambda *_: subprocess.Popen(["true"]))
    known = len(runs())
    python = python_of(wanted).replace("run.watch()", "")
    exec(python, {})
    words = shlex.split(command_of(wanted))
    assert words[0] == "manticore"
    result = CliRunner().invoke(app, [*words[1:], "--no-launch"])
    assert result.exit_code == 0, result.output
    by_command, by_python = runs()[: len(runs()) - known]
    expected, text = told(wanted)
    for run in (by_python, by_command):
        kept, read = told(run.config)
        assert kept == expected
        assert {**read, **text} == read


def test_defaults_are_left_out(zoo):
    config = config_of(zoo, options={"steps": 300, "strategy": "darts"}, data={"source": "a b.txt"})
    assert command_of(config) == (
        "manticore search zoo:tiny-neox zoo:tiny-mamba --blocks 2 --projector-init identity "
        "--data 'a b.txt'"
    )
    assert "darts" not in python_of(config)


def test_a_run_that_continues_from_another_names_it(zoo):
    import manticore as mc

    first = start_run(config_of(zoo, options={"steps": 2}), launch=False)
    hybrid = mc.build_hybrid(["zoo:tiny-neox", "zoo:tiny-mamba"], 2, projector_init="identity")
    text = mc.load_text(zoo / "text.txt", tokenizer=hybrid.tokenizer, seq_len=16)
    hybrid.origin = {"parent": {"run": first.id, "original": True, "config": first.config}}
    tuned = mc.finetune(hybrid, text, steps=4, lora={"rank": 2}, launch=False)
    assert command_of(tuned.config).startswith(f"manticore finetune {first.id} --data ")
    assert "--lora-rank 2" in command_of(tuned.config)
    assert f"mc.get_run('{first.id}')" in python_of(tuned.config)
    stranger = mc.build_hybrid(["zoo:tiny-neox", "zoo:tiny-mamba"], 2, projector_init="identity")
    stranger.origin = {}
    alone = mc.finetune(stranger, text, steps=4, launch=False)
    for say in (command_of, python_of):
        with pytest.raises(ValueError, match="made elsewhere"):
            say(alone.config)

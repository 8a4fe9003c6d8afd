"""The tab Program without a browser: what the form means, and what is shown of which run."""

import json
import re

import pytest

from app import program_form, program_tab, search_tab
from app.run_panel import draw as draw_panel
from app.status import continuing_html
from app.tabs import tab_for
from manticore.config.run import RunConfig
from manticore.names import TASKS
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.views.wording import explain
from tests.app.zoo import make_zoo
from tests.tiny_runs import programming_run

FORM = {
    "components": ["zoo:tiny-neox", "zoo:tiny-mamba"],
    "n_blocks": 2,
    "preset": "quick",
    "steps": 20,
    "strategy": "darts",
    "combine": "mean",
    "from_scratch": False,
    "target_length": None,
    "lengths": "",
    "name": None,
    "projector": "linear",
    "projector_init": "identity",
    "batch_size": 16,
    "mixture_lr": 0,
    "seed": 0,
}
SKILLS = {"in-context-recall": 1.0, "memorization": 0.5}


@pytest.fixture(autouse=True)
def _zoo(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MANTICORE_ZOO", str(make_zoo(tmp_path_factory.getbasetemp() / "zoo")))


def config_from(skills=SKILLS, **change):
    values = [skills.get(task, 0) for task in TASKS]
    return program_form.config_from(*(FORM | change).values(), *values)


def draw(run, before, tab=program_tab):
    return draw_panel(run, before, tab.VIEW, lambda stage: tab_for(stage).title)


def test_skills_above_zero_are_the_tasks():
    config = config_from()
    assert config.stage == "program"
    assert config.options.tasks == SKILLS
    assert config.options.mixture_lr == 0.05, "a rate of 0 is the strategy's own"
    assert config_from(strategy="gaea").options.mixture_lr == 0.1
    assert not config.options.from_scratch
    assert config_from(from_scratch=True).options.from_scratch


def test_lengths_are_read_as_people_write_them():
    options = config_from(target_length=100, lengths=" 16, 32;64 ").options
    assert (options.target_length, options.lengths) == (100, (16, 32, 64))
    # They stand in the form from the start, for whoever gives a target length.
    assert config_from(lengths="16, 32, 64").options.lengths == ()


@pytest.mark.parametrize(
    ("skills", "change", "says"),
    [
        ({}, {}, "No task is chosen: move at least one task weight"),
        (
            SKILLS,
            {"lengths": "16, many", "target_length": 9},
            "'many' is not a length",
        ),
        (SKILLS, {"lengths": " ", "target_length": 40}, "such as 32, 64, 128, or leave the target"),
        (SKILLS, {"lengths": "16", "target_length": 40}, "two lengths or more"),
        (SKILLS, {"components": ["zoo:tiny-neox"]}, "choose another one to go with"),
        (SKILLS, {"lengths": "15, 32", "target_length": 40}, "length=15 .* even lengths"),
        (SKILLS, {"batch_size": 512}, "256 examples: too few for a batch"),
        (SKILLS, {"n_blocks": 5}, "shallowest component has 4"),
        (SKILLS, {"components": ["zoo:tiny-nex"]}, "tiny-neox"),
    ],
)
def test_what_is_impossible_is_said_in_words(skills, change, says):
    with pytest.raises((ValueError, LookupError)) as error:
        config_from(skills, **change)
    assert re.search(says, explain(error.value))


def test_each_tab_shows_its_own_runs_and_names_the_other(tmp_path):
    programmed = programming_run(tmp_path)
    with EventWriter(programmed.folder) as events:
        events.emit("warning", message="Block 2 collapsed", task="noisy-in-context-recall")
    status, mixture, *_ = draw(programmed, None)
    assert "Noisy recall: Block 2 collapsed" in status
    assert 'data-state="done"' in status
    axis = json.loads(mixture["value"].plot)["layout"]["xaxis"]
    assert axis["ticktext"] == ["recall", "memorization", "combined"]
    elsewhere = draw(programmed, None, search_tab)
    assert "tab <b>Program</b>" in elsewhere[0]
    assert not elsewhere[2]["visible"]
    config = RunConfig(components=["zoo:a"], n_blocks=1, data={"source": "x"})
    searched = type(programmed)(make_run_folder(config, root=tmp_path))
    assert "tab <b>Build and search</b>" in draw(searched, None)[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"combine": "best"},
            "those of memorization, the task done best (task weights: recall",
        ),
        (
            {"combine": "best", "lengths": [8, 16], "target_length": 64},
            "those fitted for 64 tokens to memorization, the task done best (task weights:",
        ),
        (
            {"lengths": [8, 16], "target_length": 64},
            "are those fitted for 64 tokens (task weights: recall 1, memorization 0.5",
        ),
    ],
)
def test_a_run_at_its_end_says_what_was_made(tmp_path, options, says):
    assert says in continuing_html(programming_run(tmp_path, **options))


def test_a_run_at_its_end_says_how_to_go_on(tmp_path, monkeypatch):
    running = programming_run(tmp_path, "stopped", upto=6)
    assert continuing_html(running) == ""
    run = programming_run(tmp_path)
    words = continuing_html(run)
    assert "recall 1, memorization 0.5" in words
    assert "agreement 0.25" in words
    assert f"manticore trust {run.id} --data bundled:stories-mixed --runs-root {tmp_path}" in words
    assert f"manticore finetune {run.id} --data" in words
    assert "mc.trust" in words
    single = programming_run(tmp_path, agreement=None)
    words = continuing_html(single)
    assert f"manticore finetune {single.id} --data" in words
    assert "trust" not in words
    assert "agreement" not in words
    monkeypatch.setenv("MANTICORE_RUNS", str(tmp_path))
    assert "--runs-root" not in continuing_html(run)

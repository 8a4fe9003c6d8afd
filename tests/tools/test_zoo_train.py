"""Training: the same seed gives the same weights, with or without a death in between."""

import os
import platform
import signal
import subprocess
import sys
import time

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from manticore.names import UnknownNameError
from manticore.stories import generate_stories
from tools.zoo import blend, cards
from tools.zoo.card_page import NOTICE_FILE
from tools.zoo.checkpoint import CHECKPOINT_FILE, RecipeMismatchError
from tools.zoo.recipes import Phase, Share, ZooRecipe, get_recipe
from tools.zoo.train import best_precision, build_optimizer, choose_device, train_component

ARCHITECTURES = {
    "gpt_neox": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
}


def tiny_recipe(model_type: str = "gpt_neox", **changes) -> ZooRecipe:
    fields = {
        "name": f"tiny-{model_type}",
        "summary": "A tiny model.",
        "language": "en",
        "model_type": model_type,
        "architecture": ARCHITECTURES[model_type],
        "data": (
            Share(source="text.txt", fraction=0.5),
            Share(source="bundled:stories-en", fraction=0.5, tokens=600),
        ),
        "steps": 8,
        "phases": (Phase(until=0.5, seq_len=16, rows=4), Phase(until=1.0, seq_len=32, rows=2)),
        "learning_rate": 1e-2,
        "warmup": 2,
        "seed": 5,
        "prompt": "Once upon a time",
    }
    return ZooRecipe.model_validate({**fields, **changes})


@pytest.fixture(autouse=True)
def _small_card(monkeypatch):
    """A card that is measured on few stories and little code."""
    monkeypatch.setattr(cards, "HELD_OUT_STORIES", 3)
    monkeypatch.setattr(
        cards, "python_modules", lambda part: [f"# {part}\ndef f(x):\n    return x"]
    )


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, seed in (("text", 1), ("tales_en.valid", 2), ("novels_es.valid", 3)):
        language = "es" if "_es" in name else "en"
        text = "\n\n".join(generate_stories(language, n_stories=8, seed=seed))
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def train(tmp_path, data_dir):
    """Train in a work folder of the given name; returns the exported folder, or None."""

    def run(recipe: ZooRecipe, work: str, **options):
        return train_component(
            recipe,
            data_dir=data_dir,
            out_dir=tmp_path / work / "out",
            work_dir=tmp_path / work,
            device="cpu",
            **{"precision": "no", "checkpoint_every": 2, **options},
        )

    return run


def checkpoint(tmp_path, work: str, recipe: ZooRecipe) -> dict:
    return torch.load(tmp_path / work / recipe.name / CHECKPOINT_FILE, weights_only=True)


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_interrupted_and_resumed_is_uninterrupted(train, tmp_path, model_type):
    recipe = tiny_recipe(model_type)
    whole = weights(train(recipe, "whole"))
    for stop in (3, 5):  # inside each phase, and not where a checkpoint is due
        assert train(recipe, "parts", stop_after=stop) is None
    parts = weights(train(recipe, "parts"))
    assert whole.keys() == parts.keys()
    assert all(whole[name].equal(parts[name]) for name in whole)
    first, second = (checkpoint(tmp_path, work, recipe) for work in ("whole", "parts"))
    assert first["losses"] == second["losses"]
    assert all(first["model"][name].equal(second["model"][name]) for name in first["model"])


def test_another_seed_gives_other_weights(train, tmp_path):
    for seed in (1, 2):
        train(tiny_recipe(seed=seed), str(seed), stop_after=3)
    one, other = (checkpoint(tmp_path, str(s), tiny_recipe())["model"] for s in (1, 2))
    assert any(not one[name].equal(other[name]) for name in one)


def test_killed_and_resumed_is_uninterrupted(train, tmp_path, data_dir):
    recipe = tiny_recipe(steps=400)
    code = (
        "import sys; from pathlib import Path; from tools.zoo.train import train_component\n"
        "from tools.zoo.recipes import ZooRecipe\n"
        "recipe = ZooRecipe.model_validate_json(sys.argv[1])\n"
        "data, work = map(Path, sys.argv[2:])\n"
        "train_component(recipe, data_dir=data, out_dir=work / 'out', work_dir=work,\n"
        "                device='cpu', precision='no', checkpoint_every=2)\n"
    )
    work = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", code, recipe.model_dump_json(), str(data_dir), str(work)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    file = work / recipe.name / CHECKPOINT_FILE
    while not file.is_file() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = checkpoint(tmp_path, "killed", recipe)["step"]
    assert 0 < reached < 400
    goal = reached + 3
    for name in ("killed", "whole"):
        train(recipe, name, stop_after=goal, checkpoint_every=1000)
    killed, whole = (checkpoint(tmp_path, name, recipe) for name in ("killed", "whole"))
    assert killed["step"] == whole["step"] == goal
    assert killed["losses"] == whole["losses"]
    assert all(killed["model"][name].equal(whole["model"][name]) for name in whole["model"])


def test_a_longer_run_begins_with_the_shorter_one(train, tmp_path):
    short, long = tiny_recipe(), tiny_recipe(steps=16)
    train(short, "a", stop_after=4)  # decay and second phase begin here
    train(long, "a", stop_after=6)
    train(long, "b", stop_after=6)
    a, b = (checkpoint(tmp_path, work, long) for work in "ab")
    assert all(a["model"][name].equal(b["model"][name]) for name in a["model"])


def test_lengthening_after_the_decay_began_is_an_error(train):
    train(tiny_recipe(), "late", stop_after=6)
    with pytest.raises(
        RecipeMismatchError, match="at step 6 of 8, and a training of 16 steps differs"
    ):
        train(tiny_recipe(steps=16), "late")


def test_a_checkpoint_of_another_recipe_is_an_error(train):
    train(tiny_recipe(), "other", stop_after=2)
    with pytest.raises(RecipeMismatchError, match="another learning_rate, seed"):
        train(tiny_recipe(seed=6, learning_rate=0.1), "other")


def test_steps_replace_the_recipes(train, tmp_path):
    train(tiny_recipe(), "few", steps=4)
    assert checkpoint(tmp_path, "few", tiny_recipe())["recipe"]["steps"] == 4


def test_training_learns(train, tmp_path):
    recipe = tiny_recipe(steps=80)
    train(recipe, "learns", checkpoint_every=40)
    losses = [loss for _, loss in checkpoint(tmp_path, "learns", recipe)["losses"]]
    assert losses[-1] < losses[0] - 0.5


def test_what_is_trained_on_code_has_a_notice_and_a_card_of_code(train, monkeypatch):
    modules = [f"import {name}\n\nprint({name}.x)\n" * 20 for name in ("json", "re", "ast")]
    monkeypatch.setattr(blend, "python_modules", lambda part: modules)
    data = (Share(source="bundled:python", fraction=1.0),)
    folder = train(tiny_recipe(language="python", data=data, prompt="def "), "code", steps=4)
    assert (folder / NOTICE_FILE).read_text() == cards.PYTHON_NOTICE.read_text()
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page.startswith("---\nlanguage: code\n")
    assert f"standard library of Python {platform.python_version()}" in page
    assert "```python\ndef " in page
    assert "| bundled:python, held out |" in page


def test_only_matrices_decay():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    decayed, free = build_optimizer(model, tiny_recipe()).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3)]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert len(free["params"]) == 3


def test_an_unknown_component_is_named(tmp_path):
    with pytest.raises(UnknownNameError, match=r"tales-mambo.*Did you mean 'tales-mamba'"):
        train_component("tales-mambo", data_dir=tmp_path, out_dir=tmp_path, work_dir=tmp_path)


def test_a_device_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"device='tpu' is not available for training\. Use cpu"):
        choose_device("tpu")
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(("capabilities", "best"), [({"amx_bf16": True}, "bf16"), ({}, "no")])
def test_bfloat16_is_for_processors_that_multiply_it(monkeypatch, capabilities, best):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert best_precision("cpu") == best


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": (Share(source="text.txt", fraction=0.5),)}, "add up to 0.5. Make them"),
        ({"data": (Share(source="bundled:stories-en", fraction=1.0),)}, "has tokens=None"),
        ({"phases": (Phase(until=0.5, seq_len=8, rows=1),)}, "Give rising numbers, the last one 1"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"language": "fr"}, "pattern"),
    ],
)
def test_inconsistent_recipes_are_errors(changes, message):
    with pytest.raises(ValidationError, match=message):
        tiny_recipe(**changes)


def test_bundled_recipes_end_at_their_last_step():
    recipe = get_recipe("tales-neox")
    assert recipe.phase_at(0)[0] == 0
    assert recipe.phase_at(recipe.steps - 1)[0] == len(recipe.phases) - 1
    with pytest.raises(ValueError, match="past the last one"):
        recipe.phase_at(recipe.steps)

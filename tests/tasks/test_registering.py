"""A task that is registered from outside counts wherever tasks are listed or chosen."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import Field, PositiveInt, ValidationError

import manticore as mc
from manticore.config.programming import ProgramConfig
from manticore.names import TASKS, Entry
from manticore.programming.text_weights import text_weights
from manticore.programming.trust import trust_on
from manticore.suite.protocol import PROTOCOLS
from manticore.tasks import Setting, Task, chance_accuracy, make_task, preset_settings
from manticore.tasks.drawing import Arrays, Draw

UP = [[0.6, 0.4], [0.7, 0.3], [0.8, 0.2]]


class Repetition(Setting):
    """Setting of repetition."""

    vocabulary: PositiveInt = 8
    length: PositiveInt = 6
    train_examples: PositiveInt = 64
    test_examples: PositiveInt = 64
    distance: int = Field(1, ge=1)
    """Tokens back to the one that is repeated."""


def repeat(setting: Repetition, draw: Draw) -> Arrays:
    """The target at each position is the token `distance` before it."""
    inputs = draw.rng.integers(setting.vocabulary, size=(draw.n_examples, setting.length))
    targets = np.full_like(inputs, -100)
    targets[:, setting.distance :] = inputs[:, : -setting.distance]
    return inputs, targets


@pytest.fixture
def register(monkeypatch):
    """`register(**fields)`: register the task "repetition", with other fields of `Task`."""

    def with_fields(**fields):
        task = Task(setting=Repetition, generate=repeat, quick={"length": 5}, **fields)
        entry = Entry(home=task, about="Give the token that came before this one.")
        monkeypatch.setitem(TASKS, "repetition", entry)

    return with_fields


def test_its_settings_have_its_own_options_and_limits(register):
    with pytest.raises(ValidationError, match="Unknown MAD task 'repetition'"):
        Setting(task="repetition")
    register(axes={"distance": (2, 3)})
    assert Setting(task="repetition", distance=2).distance == 2
    with pytest.raises(ValidationError, match="distance"):
        Setting(task="repetition", distance=0)
    with pytest.raises(ValidationError, match=r"does not use distance: .* choose repetition"):
        Setting(task="compression", distance=1)
    with pytest.raises(ValidationError, match=r"Unknown option 'distanc'. Did you mean 'distance'"):
        Setting(task="repetition", distanc=1)
    own = [setting for setting in preset_settings("full") if setting.task == "repetition"]
    assert [setting.distance for setting in own] == [1, 2, 3]


def test_it_is_in_presets_and_among_the_tasks_of_programming(register):
    register()
    assert preset_settings("quick")[-1] == Setting(task="repetition", length=5)
    assert "repetition" not in [setting.task for setting in preset_settings("paper")]
    assert ProgramConfig().tasks["repetition"] == 1
    assert ProgramConfig(preset="baseline").tasks["repetition"] == 1
    assert "repetition" not in ProgramConfig(preset="paper").tasks
    options = ProgramConfig(tasks=["repetition"], settings={"repetition": {"distance": 3}})
    assert options.searches()[0].setting.distance == 3
    assert ProgramConfig.model_validate_json(options.model_dump_json()) == options
    with pytest.raises(ValidationError, match="Did you mean 'repetition'"):
        ProgramConfig(tasks=["repitition"])


def test_its_data_follow_the_machinery_of_all(register):
    register()
    data = make_task("repetition", Setting(task="repetition", length=32))
    assert torch.equal(data.test.labels[:, 2:], data.test.input_ids[:, :-2])
    assert chance_accuracy(data) < 0.3


def test_the_suite_trains_on_it(register, tmp_path):
    register()
    options = {"epochs": 1, "batch_size": 32, "width": 32, "n_blocks": 1, "device": "cpu"}
    found = mc.mad_suite("quick", "gpt_neox", "repetition", folder=tmp_path, **options)
    assert found.rows()[0]["tasks"].keys() == {"repetition"}
    assert PROTOCOLS.keys() == {"quick", "baseline", "full", "paper"}


def found_by(*tasks: str) -> dict:
    return {
        task: {"setting": {"task": task}, "mixture_weights": alpha}
        for task, alpha in zip(tasks, (UP, UP[::-1]), strict=True)
    }


def text() -> list[dict[str, torch.Tensor]]:
    ids = torch.arange(8).remainder(3)
    return [{"input_ids": ids, "labels": ids}]


def test_trust_counts_it_in_a_text(register):
    register(weight_in_text=lambda ids, vocabulary: 0.5)
    assert text_weights(torch.zeros(2, 4, dtype=torch.long), 8)["repetition"] == 0.5
    found = trust_on(found_by("repetition", "memorization"), UP, text(), 8)
    assert (found.skills["repetition"], found.not_counted) == (0.5, ())


def test_trust_says_where_nothing_can_be_counted(register):
    register()
    found = trust_on(found_by("memorization", "repetition"), UP, text(), 8)
    assert "repetition" not in found.skills
    assert found.not_counted == ("repetition",)
    assert found.agreement == pytest.approx(1), "of memorization alone"
    with pytest.raises(ValueError, match=r"nothing to count is known for repetition, unknown\)"):
        trust_on(found_by("repetition", "unknown"), UP, text(), 8)


def test_naming_tasks_and_settings_needs_no_torch():
    code = "import sys; from manticore.config.programming import ProgramConfig; ProgramConfig()"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

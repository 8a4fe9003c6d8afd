"""Settings that a task cannot be made of are refused, and the published ones are as published."""

import copy
import pickle
from typing import Any

import pytest
from pydantic import BaseModel, SerializeAsAny, ValidationError

from manticore.suite.protocol import PROTOCOLS
from manticore.tasks import TASKS, Setting, difficulties, make_task, preset_settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"task": "in-context-recall", "length": 33},
            "length=33 does not divide into pairs .* such as 34",
        ),
        ({"task": "in-context-recall", "length": 2}, "length=2 is too short: .* such as 4"),
        ({"task": "in-context-recall", "vocabulary": 1}, "vocabulary=1 .* give 2 or more"),
        (
            {"task": "noisy-in-context-recall", "noise_vocabulary": 31},
            "vocabulary=32 .* give 33 .* noise_vocabulary=31; or choose a smaller noise_vocabulary",
        ),
        (
            {"task": "noisy-in-context-recall", "noise_vocabulary": 0},
            "noise_share=0.2 .* noise_vocabulary to 1",
        ),
        ({"task": "noisy-in-context-recall", "noise_share": 1.0}, "less than 1"),
        (
            {"task": "selective-copying", "tokens_to_copy": 128},
            "tokens_to_copy=128 of selective-copying .* length=256: copy at most 127, .* 258",
        ),
        (
            {"task": "selective-copying", "tokens_to_copy": 1, "length": 3},
            "does not fit in length=3: give a length of 4 or more",
        ),
        ({"task": "selective-copying", "vocabulary": 2}, "give 3 or more"),
        ({"task": "fuzzy-in-context-recall", "vocabulary": 6}, "give 7 or more"),
        ({"task": "fuzzy-in-context-recall", "length": 17}, "length=17 .* give 18 or more"),
        (
            {"task": "fuzzy-in-context-recall", "vocabulary": 65536, "longest_key": 4},
            "vocabulary=65536 has more keys of 4 tokens than can be numbered",
        ),
        ({"task": "memorization", "length": 31}, "length=31 .* such as 32"),
        ({"task": "compression", "length": 1}, "length=1 .* give 2 or more"),
        (
            {"task": "compression", "tokens_to_copy": 3},
            "compression does not use tokens_to_copy: .* choose selective-copying",
        ),
        ({"task": "in-context-recal"}, "Did you mean 'in-context-recall'"),
        ({"task": "memorization", "train_examples": 0}, "greater than 0"),
        ({"task": "memorization", "vocab": 8}, "Did you mean 'vocabulary'"),
    ],
)
def test_refuses(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){words}"):
        Setting(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"task": "in-context-recall", "length": 4, "vocabulary": 2},
        {"task": "noisy-in-context-recall", "noise_vocabulary": 30, "noise_share": 0.99},
        {"task": "selective-copying", "tokens_to_copy": 127, "vocabulary": 3},
        {"task": "fuzzy-in-context-recall", "vocabulary": 7, "length": 18},
        {"task": "memorization", "length": 2, "vocabulary": 3},
        {"task": "compression", "length": 2, "vocabulary": 3},
    ],
)
@pytest.mark.parametrize("multi_query", [True, False])
def test_the_tightest_settings_can_be_made(given: dict[str, Any], multi_query: bool) -> None:
    options = dict(given, train_examples=50, test_examples=50)
    if "recall" in given["task"] and not multi_query:
        options |= {"multi_query": False, "vocabulary": Setting(**given).vocabulary + 1}
    data = make_task(given["task"], Setting(**options))
    assert len(data.train) == len(data.test) == 50


def test_a_setting_is_a_baseline_but_for_what_is_given() -> None:
    setting = Setting(task="selective-copying", tokens_to_copy=96)
    changed = setting.model_dump() | {"tokens_to_copy": 16}
    assert Setting(**changed) == Setting(task="selective-copying")
    assert Setting(**changed, noise_share=None) == Setting(**changed)
    assert Setting.model_validate_json(setting.model_dump_json()) == setting
    with pytest.raises(ValidationError, match="frozen"):
        setting.length = 8


SIZES = {"vocabulary": (32, 64, 128), "train_examples": (6400, 3200, 1600, 800)}
LENGTHS = {"length": (256, 512, 1024)}
PUBLISHED = {
    "in-context-recall": ((16, 128, 12_800), {"multi_query": True}, SIZES | LENGTHS),
    "fuzzy-in-context-recall": (
        (16, 128, 12_800),
        {"multi_query": True, "longest_key": 3, "longest_value": 3},
        SIZES | LENGTHS,
    ),
    "noisy-in-context-recall": (
        (32, 128, 12_800),
        {"multi_query": True, "noise_vocabulary": 16, "noise_share": 0.2},
        SIZES | LENGTHS | {"vocabulary": (48, 80, 144), "noise_share": (0.4, 0.6, 0.8)},
    ),
    "selective-copying": (
        (16, 256, 12_800),
        {"tokens_to_copy": 16},
        SIZES | {"length": (512, 1024), "tokens_to_copy": (32, 64, 96)},
    ),
    "compression": ((16, 32, 12_800), {}, SIZES | {"length": (64, 128, 256)}),
    "memorization": ((256, 32, 256), {}, {"vocabulary": (512, 1024, 2048, 4096, 8192)}),
}
"""Vocabulary, length and training examples; the task's own options; what is varied."""


@pytest.mark.parametrize("task", PUBLISHED)
def test_baselines_and_axes_are_as_published(task: str) -> None:
    sizes, own, varied = PUBLISHED[task]
    baseline = Setting(task=task)
    assert (baseline.vocabulary, baseline.length, baseline.train_examples) == sizes
    assert baseline.test_examples == 1280
    common = {"task", "vocabulary", "length", "train_examples", "test_examples"}
    assert baseline.model_dump(exclude=common) == own
    wanted = {
        Setting(task=task, **{name: value}) for name, values in varied.items() for value in values
    }
    assert set(difficulties(task)) == wanted
    assert len(difficulties(task)) == len(wanted)


def test_the_protocol_is_as_published() -> None:
    for preset in ("baseline", "full"):
        protocol = PROTOCOLS[preset]
        assert set(protocol.learning_rates) == {1e-4, 5e-4, 1e-3}
        assert set(protocol.weight_decays) == {0.0, 0.1}
        assert (protocol.epochs, protocol.least_steps, protocol.batch_size) == (200, 0, 128)
    paper = PROTOCOLS["paper"]
    assert (paper.learning_rates, paper.epochs, paper.batch_size) == ((5e-4,), 200, 128)
    assert paper.width == 128


def test_an_axis_varies_one_option() -> None:
    for name in TASKS:
        baseline = Setting(task=name)
        for setting in difficulties(name):
            pairs = zip(setting.model_dump().items(), baseline.model_dump().items(), strict=True)
            assert sum(ours != base for ours, base in pairs) == 1


def test_presets() -> None:
    full = preset_settings("full")
    assert len(full) == len(set(full)) == 6 + sum(map(len, map(difficulties, TASKS)))
    for preset in ("quick", "baseline"):
        assert [setting.task for setting in preset_settings(preset)] == list(TASKS)
    paper = {setting.task: setting for setting in preset_settings("paper")}
    assert paper.keys() == TASKS.keys() - {"compression"}
    for task in ("in-context-recall", "fuzzy-in-context-recall"):
        assert (paper[task].vocabulary, paper[task].train_examples) == (128, 800)
    noisy = paper["noisy-in-context-recall"]
    assert (noisy.vocabulary, noisy.noise_vocabulary, noisy.noise_share) == (144, 16, 0.8)
    assert (paper["selective-copying"].tokens_to_copy, paper["selective-copying"].length) == (
        96,
        256,
    )
    assert paper["memorization"].vocabulary == 8192


def test_axes_of_an_unknown_task() -> None:
    with pytest.raises(ValueError, match="Did you mean 'memorization'"):
        difficulties("memorisation")


def test_an_unknown_preset() -> None:
    with pytest.raises(ValueError, match=r"Unknown preset 'quik'. Did you mean 'quick'"):
        preset_settings("quik")


@pytest.mark.parametrize("task", TASKS)
def test_a_setting_is_an_object_of_its_task_wherever_it_comes_from(task: str) -> None:
    setting = Setting(task=task)
    assert type(setting) is TASKS.load(task).setting

    class Holder(BaseModel):
        setting: SerializeAsAny[Setting]

    holder = Holder(setting=setting.model_dump())
    for same in (
        holder.setting,
        Holder.model_validate_json(holder.model_dump_json()).setting,
        pickle.loads(pickle.dumps(setting)),
        copy.deepcopy(setting),
    ):
        assert type(same) is type(setting)
        assert (same, hash(same)) == (setting, hash(setting))

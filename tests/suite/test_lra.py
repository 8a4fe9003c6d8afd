"""Long Range Arena as a suite: what is compared, how rates are chosen, and what the shell says."""

import json

import pytest
import torch
from accelerate import Accelerator
from typer.testing import CliRunner

import manticore as mc
from manticore.cli import app
from manticore.config.setting import LONG_RANGE_PRESETS
from manticore.names import LONG_RANGE_TASKS
from manticore.suite.lra import PUBLISHED_SCORES, published_scores
from manticore.suite.protocol import DEFAULT_MODELS
from manticore.suite.stacks import build_stack, live_parameters
from manticore.tasks import Setting, find_task, make_task, measure
from manticore.train.loop import Loop

FEW = {"train_examples": 32, "valid_examples": 16, "test_examples": 16}
SETTINGS = [
    Setting(task="listops", length=16, longer_than=4, depth=3, arguments=3, **FEW),
    Setting(task="retrieval", length=12, **FEW),
]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The preset quick with two tiny settings."""
    monkeypatch.setitem(LONG_RANGE_PRESETS, "quick", lambda: SETTINGS)


def suite(folder, models=("gpt_neo", "gpt_neo+mamba"), **options):
    steps = {"least_steps": 3, "most_steps": 3}
    options = {**steps, "batch_size": 8, "device": "cpu", **options}
    return mc.lra_suite("quick", models, folder=folder, **options)


def outcomes(found):
    kept = ("trial", "accuracy", "test_accuracy", "parameters", "mixture_weights")
    return [{name: outcome[name] for name in kept} for outcome in found.outcomes]


def test_interrupted_is_uninterrupted(tmp_path, monkeypatch):
    whole = outcomes(suite(tmp_path / "whole"))
    monkeypatch.setattr("manticore.suite.fitting.CHECKPOINT_EVERY", 1)

    class StopError(Exception):
        pass

    def interrupt(progress):
        if (progress.finished, progress.step) == (6, 2):
            raise StopError

    with pytest.raises(StopError):
        suite(tmp_path / "parts", report=interrupt)
    assert outcomes(suite(tmp_path / "parts")) == whole
    hybrids = [o for o in whole if o["trial"].model == "gpt_neo+mamba"]
    assert any(o["mixture_weights"] != [[0.5, 0.5]] * 2 for o in hybrids), "they are searched"


def test_rates_are_chosen_on_other_examples_than_scores_are_measured_on(tmp_path):
    rates = (1e-2, 1e-5)
    found = suite(tmp_path, ["mamba"], tasks="listops", learning_rates=rates, weight_decays=(0.0,))
    first, second = found.outcomes
    first |= {"accuracy": 0.6, "test_accuracy": 0.1}
    second |= {"accuracy": 0.5, "test_accuracy": 0.9}
    (row,) = found.rows()
    assert row["tasks"]["listops"]["score"] == 0.1


def test_all_models_are_about_as_large(tmp_path):
    for setting in SETTINGS:
        data = make_task(setting.task, setting)
        sizes = {
            model: live_parameters(
                build_stack(model, data, width=32, n_blocks=4, as_large_as="gpt_neo+mamba")
            )
            for model in DEFAULT_MODELS
        }
        assert max(sizes.values()) / min(sizes.values()) < 1.3, sizes
        alone = live_parameters(build_stack("gpt_neo", data, width=32, n_blocks=4))
        assert alone < 0.8 * sizes["gpt_neo"]


def test_a_model_that_knows_the_task_is_right_everywhere():
    setting = Setting(task="listops", length=16, longer_than=4, depth=2, arguments=3, **FEW)
    data = make_task("listops", setting)
    right = dict(zip(map(tuple, data.test.input_ids.tolist()), data.test.labels, strict=True))

    class Oracle(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, input_ids, attention_mask, use_cache):
            answers = torch.stack([right[tuple(row)] for row in input_ids.tolist()])
            logits = torch.nn.functional.one_hot(answers, 10).float()
            return type("Output", (), {"logits": logits})

    assert measure(Oracle(), data.test)["accuracy"] == 1


def test_the_published_sizes_of_models(monkeypatch):
    monkeypatch.undo()
    wanted = {"listops": (512, 6), "image": (64, 3), "pathfinder": (128, 4), "path-x": (128, 4)}
    for task, sizes in wanted.items():
        regime = find_task(task).regimes["path-x" if task == "path-x" else "paper"]
        assert (regime["width"], regime["n_blocks"]) == sizes
    assert set(PUBLISHED_SCORES["S4"]) == set(LONG_RANGE_TASKS)


def test_a_loop_counts_labels():
    batches = [{"labels": torch.tensor([0, 1, -100])}, {"labels": torch.tensor([[5, 1], [5, 1]])}]

    class Counting:
        accelerator = Accelerator(cpu=True)

    counted = [Loop.n_predicted(Counting(), [batch]) for batch in batches]
    assert [int(number) for number in counted] == [2, 2]


def test_the_suite_from_the_shell(tmp_path):
    result = CliRunner().invoke(
        app,
        [
            *("lra", "--model", "mamba", "--task", "listops", "--steps", "2", "--device", "cpu"),
            *("--examples", "8", "--batch-size", "4", "--folder", str(tmp_path)),
        ],
        env={"COLUMNS": "120"},
    )
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {line["step"] for line in lines} == {2}
    assert {line["trial"]["setting"]["train_examples"] for line in lines} == {8}
    assert "published" not in result.output, "it compares with nothing published"


def test_published_scores_stand_beside_published_data_only(tmp_path):
    found = suite(tmp_path, ["mamba"], tasks="listops")
    assert published_scores(found) == {}
    for outcome in found.outcomes:
        paper = outcome["trial"].model_copy(update={"setting": Setting(task="listops")})
        outcome["trial"] = paper
    assert published_scores(found) == {"Transformer": {"listops": 36.4}, "S4": {"listops": 59.6}}


def test_the_folder_of_one_task_is_read_by_that_task(tmp_path, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(ValueError, match="text and retrieval and image would read it"):
        mc.lra_suite("paper", data=str(tmp_path))
    with pytest.raises(ValueError, match="none of these tasks"):
        mc.lra_suite("paper", tasks="listops", data=str(tmp_path))


def test_numbers_of_steps_are_what_was_asked_for(tmp_path):
    for asked, steps in (({"epochs": 2}, 8), ({"least_steps": 5, "most_steps": 5}, 5)):
        found = mc.lra_suite(
            "quick", "mamba", "listops", folder=tmp_path, batch_size=8, device="cpu", **asked
        )
        assert {outcome["step"] for outcome in found.outcomes} == {steps}
    with pytest.raises(ValueError, match="least_steps=1000 is more than most_steps=400"):
        mc.lra_suite("quick", "mamba", "listops", least_steps=1000)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tasks": "listop"}, "Unknown long-range task 'listop'. Did you mean 'listops'"),
        ({"tasks": "image"}, "The preset 'quick' leaves out image"),
        ({"models": ["mambo"]}, "Did you mean 'mamba'"),
        ({"models": ["mamba"], "mixture_lr": 0.1}, "do not use mixture_lr"),
        ({"data": "/nowhere", "tasks": "retrieval"}, "no folder '/nowhere'"),
    ],
)
def test_bad_input_says_what_to_do(tmp_path, options, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        suite(tmp_path, **options)
    with pytest.raises(ValueError, match="Unknown preset 'quik'"):
        mc.lra_suite("quik")

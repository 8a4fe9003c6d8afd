"""The suite: its scores, what it does of the grid, and that an interruption changes nothing."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from pydantic import ValidationError

import manticore as mc
from manticore.suite import pool
from manticore.suite.fitting import _options as training_options
from manticore.suite.fitting import _seconds
from manticore.suite.interrupts import SAVED
from manticore.suite.protocol import Protocol, task_scores
from manticore.suite.scores import Suite
from manticore.tasks import PRESETS, Setting

RECALL = Setting(
    task="in-context-recall", vocabulary=8, length=8, train_examples=64, test_examples=32
)
COMPRESSION = Setting(
    task="compression", vocabulary=4, length=4, train_examples=64, test_examples=32
)
SMALL = {
    "epochs": 2,
    "least_steps": 0,
    "batch_size": 16,
    "width": 32,
    "n_blocks": 2,
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The preset quick with two tiny settings."""
    monkeypatch.setitem(PRESETS, "quick", lambda: [RECALL, COMPRESSION])


def suite(folder, models=("gpt_neox", "gpt_neox+mamba"), **options):
    return mc.mad_suite("quick", models, folder=folder, **{**SMALL, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results of a suite that was not interrupted, of 16 steps for each trial."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "quick", lambda: [RECALL, COMPRESSION])
        return outcomes(suite(tmp_path_factory.mktemp("whole"), epochs=4))


def outcomes(found):
    kept = ("trial", "accuracy", "step", "parameters", "mixture_weights")
    return [{name: outcome[name] for name in kept} for outcome in found.outcomes]


def workers(process=None):
    """Processes that train: those that a child of the suite's process has forked."""
    children = (process or psutil.Process()).children()
    return [worker for child in children for worker in child.children()]


@pytest.fixture
def left_behind():
    """`left_behind()`: processes that the test has started, and that are still there."""
    before = set(psutil.Process().children(recursive=True))
    return lambda: set(workers()) - before


def at_an_impossible_rate(trial):
    return training_options(trial).model_copy(update={"mixture_lr": float("inf")})


class StopError(Exception):
    pass


def test_interrupted_is_uninterrupted(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("manticore.suite.fitting.CHECKPOINT_EVERY", 3)

    def interrupt(progress):
        if (progress.finished, progress.step) == (1, 5):
            raise StopError

    with pytest.raises(StopError):
        suite(tmp_path, epochs=4, report=interrupt)
    file = tmp_path / "results.jsonl"
    assert len(file.read_text().splitlines()) == 1
    with file.open("a") as lines:
        lines.write('{"id": "torn')
    steps = []
    again = suite(tmp_path, epochs=4, report=lambda p: steps.append((p.finished, p.step)))
    assert outcomes(again) == whole
    # The first trial is there; the second resumes from its checkpoint at step 3.
    assert [step for finished, step in steps if finished == 1] == list(range(4, 17))
    written = [json.loads(line)["id"] for line in file.read_text().splitlines()]
    assert len(written) == len(set(written)) == 4
    assert not list((tmp_path / "unfinished").iterdir())


def test_killed_is_uninterrupted_and_leaves_no_process(whole, tmp_path):
    code = (
        "import sys; from tests.suite import test_suite as t; "
        "t.PRESETS['quick'] = lambda: [t.RECALL, t.COMPRESSION]; "
        "t.suite(sys.argv[1], epochs=4, jobs=2)"
    )
    file = tmp_path / "results.jsonl"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    deadline = time.monotonic() + 240
    while not (file.exists() and b"\n" in file.read_bytes()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    at_work = workers(psutil.Process(process.pid))
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert 1 <= len(file.read_bytes().splitlines()) < 4
    assert len(at_work) == 2
    _, left = psutil.wait_procs(at_work, timeout=60)
    assert not left
    assert outcomes(suite(tmp_path, epochs=4)) == whole


def test_mixture_weights_of_hybrids_are_found(tmp_path):
    found = suite(tmp_path, ["gpt_neox+mamba", "striped"], tasks=["compression"], mixture_lr=0.3)
    searched, striped = found.outcomes
    assert all(abs(weight - 0.5) > 0.01 for row in searched["mixture_weights"] for weight in row)
    assert all(sum(row) == pytest.approx(1) for row in searched["mixture_weights"])
    assert striped["mixture_weights"][:3] == [[1, 0], [0, 1], [1, 0]]
    assert striped["parameters"] == pytest.approx(searched["parameters"], rel=0.1)


def test_the_grid_and_what_decides_a_training(tmp_path):
    grid = {"learning_rates": [1e-3, 1e-2], "weight_decays": [0.0, 0.5], "tasks": ["compression"]}
    found = suite(tmp_path, ["gpt_neox"], **grid)
    accuracies = [outcome["accuracy"] for outcome in found.outcomes]
    assert len(accuracies) == 4
    assert len(set(accuracies)) > 1
    assert found.rows()[0]["mean"]["score"] == max(accuracies)
    lines = len(found.path.read_text().splitlines())
    suite(tmp_path, ["gpt_neox"], **grid)
    assert len(found.path.read_text().splitlines()) == lines
    changed = {"learning_rates": [1e-3], "weight_decays": [0.0], "warmup_steps": 3}
    suite(tmp_path, ["gpt_neox"], **{**grid, **changed})
    assert len(found.path.read_text().splitlines()) == lines + 1


def test_a_rate_of_mixture_weights_is_for_hybrids(tmp_path):
    first = suite(tmp_path, tasks="compression")
    second = suite(tmp_path, tasks="compression", mixture_lr=0.1)
    pairs = zip(first.outcomes, second.outcomes, strict=True)
    alike = [before["id"] == after["id"] for before, after in pairs]
    assert alike == [outcome["trial"].model == "gpt_neox" for outcome in first.outcomes]


def test_enough_is_enough(tmp_path):
    """A training ends at the first measure, and the rest of the grid is left out."""
    report = []
    found = suite(
        tmp_path,
        ["gpt_neox"],
        tasks=["compression"],
        enough=1e-6,
        learning_rates=[1e-3, 1e-2],
        report=report.append,
    )
    (outcome,) = found.outcomes
    assert outcome["step"] == 4  # Of 8: one epoch.
    assert (report[-1].finished, report[-1].total, report[-1].share) == (2, 2, 1)


def test_short_epochs_go_on_to_the_least_steps(tmp_path):
    options = {"tasks": ["compression"], "enough": 2.0}
    for least, steps in ((3, 8), (11, 11)):
        found = suite(tmp_path, ["gpt_neox"], least_steps=least, **options)
        assert found.outcomes[0]["step"] == steps


def test_a_score_is_the_mean_over_settings_of_the_best():
    harder = RECALL.model_copy(update={"length": 16})
    made = Protocol(batch_size=16, seeds=(0, 1)).trials(["a", "b"], [RECALL, harder, COMPRESSION])
    assert len(made) == 2 * 2 * 3 * 6
    grid = {}
    for trial in made:
        grid.setdefault(trial.group, []).append(trial)
    best = {
        ("a", RECALL): (0.5, 0.7),
        ("a", harder): (0.3, 0.1),
        ("a", COMPRESSION): (1.0, 0.8),
    }
    results = [
        {"trial": trial, "accuracy": best.get((model, setting), (0.2, 0.2))[seed] - 0.05 * loss}
        | {"parameters": 5 if setting == COMPRESSION else 7}
        for (model, setting, seed), group in grid.items()
        for loss, trial in enumerate(reversed(group))
    ]
    scores = task_scores(results)
    assert scores["a", "in-context-recall"] == pytest.approx({0: 0.4, 1: 0.4})
    assert scores["a", "compression"] == pytest.approx({0: 1.0, 1: 0.8})
    row, other = Suite(results, None).rows()
    assert row["tasks"]["compression"]["spread"] == pytest.approx(0.2 / 2**0.5)
    assert row["mean"]["by_seed"] == pytest.approx({0: 0.7, 1: 0.6})
    assert row["mean"]["score"] == pytest.approx(0.65)
    assert row["parameters"] == (5, 7)
    assert other["mean"]["score"] == pytest.approx(0.2)


def test_a_damaged_line_is_passed_over_and_done_again(tmp_path):
    first = suite(tmp_path, ["gpt_neox"])
    lines = first.path.read_text().splitlines()
    first.path.write_text(f"{lines[0][:40]}\n{lines[1]}\n")
    assert outcomes(suite(tmp_path, ["gpt_neox"])) == outcomes(first)
    assert len(first.path.read_text().splitlines()) == 3


def test_two_suites_do_not_share_a_folder(tmp_path):
    def second(progress):
        with pytest.raises(BlockingIOError, match="Another process is at work"):
            suite(tmp_path, ["gpt_neox"])
        raise StopError

    with pytest.raises(StopError):
        suite(tmp_path, ["gpt_neox"], report=second)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"preset": "fast"}, "Unknown preset 'fast'. Choose from: quick"),
        ({"models": ["mambo"]}, "Did you mean 'mamba'"),
        ({"tasks": ["recall"]}, "Unknown MAD task 'recall'"),
        ({"preset": "paper", "tasks": ["compression"]}, "leaves out compression"),
        ({"epochs": 0}, "epochs"),
        ({"seeds": [-1]}, "seed"),
        ({"seeds": []}, "seeds"),
        ({"colour": "red"}, "Unknown option 'colour'"),
        ({"epoch": 3}, "Did you mean 'epochs'"),
        ({"models": "mamba", "mixture_lr": 0.1}, "mamba do not use mixture_lr"),
        ({"batch_size": 1024}, "64 examples, fewer than a batch of 1024"),
        ({"models": ["gpt_neox"], "width": 48}, "width"),
        ({"device": "cuda:99"}, "no device 'cuda:99'"),
        ({"jobs": 0}, "jobs=0 trains nothing"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, options, says):
    with pytest.raises(ValueError, match=says):
        mc.mad_suite(folder=tmp_path, **options)


def test_interrupted_by_hand_is_uninterrupted(tmp_path):
    whole = suite(tmp_path / "whole", "gpt_neox", tasks="in-context-recall")

    def press(progress):
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=SAVED):
        suite(tmp_path / "parts", "gpt_neox", tasks="in-context-recall", report=press)
    assert signal.getsignal(signal.SIGINT) is before
    steps = []
    again = suite(
        tmp_path / "parts",
        "gpt_neox",
        tasks="in-context-recall",
        report=lambda progress: steps.append(progress.step),
    )
    assert outcomes(again) == outcomes(whole)
    assert steps[0] == 6
    assert again.outcomes[0]["seconds"] > 0


def test_time_is_that_of_all_parts():
    """Two parts of a training, of 5 and of 7 seconds, an hour apart."""
    times = [("stage", 0), ("step", 3), ("step", 5), ("stage", 3600), ("eval", 3607)]
    assert _seconds([{"kind": kind, "time": time} for kind, time in times]) == 12


def test_a_training_that_diverges_is_a_result(tmp_path, monkeypatch):
    monkeypatch.setattr("manticore.suite.fitting._options", at_an_impossible_rate)
    found = suite(tmp_path, ["gpt_neox+mamba"], tasks=["in-context-recall"])
    assert [outcome["diverged"] for outcome in found.outcomes] == [True]
    assert found.outcomes[0]["mixture_weights"] is None
    assert found.rows()[0]["mean"]["score"] == found.outcomes[0]["accuracy"]
    # It is kept, like any other.
    again = suite(tmp_path, ["gpt_neox+mamba"], tasks=["in-context-recall"])
    assert again.outcomes == found.outcomes


def test_another_type_in_the_same_process(tmp_path):
    kinds = ("float32", "bfloat16", "float32")
    for index, dtype in enumerate(kinds):
        found = suite(tmp_path / str(index), "mamba", tasks="compression", dtype=dtype)
        assert [outcome["trial"].dtype for outcome in found.outcomes] == [dtype]


def test_several_at_a_time_find_what_one_after_the_other_finds(tmp_path):
    models = ["gpt_neox", "mamba"]
    grid = {"learning_rates": [1e-3, 1e-2], "enough": 0.2}
    whole = suite(tmp_path / "whole", models, **grid)
    assert len(whole.outcomes) < 8
    suite(tmp_path / "parts", models[:1], tasks="compression", **grid)
    seen = []
    parts = suite(tmp_path / "parts", models, jobs=2, report=seen.append, **grid)
    assert outcomes(parts) == outcomes(whole)
    assert len(parts.path.read_text().splitlines()) == len(parts.outcomes)
    assert not any((tmp_path / "parts/unfinished").iterdir())
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert (seen[-1].finished, seen[-1].total) == (8, 8)


def test_several_at_a_time_interrupted_are_uninterrupted(whole, tmp_path, left_behind):
    pressed = []

    def press(progress):
        if not pressed:
            pressed.append(progress)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=SAVED):
        suite(tmp_path, epochs=4, jobs=2, report=press)
    assert not left_behind()
    assert outcomes(suite(tmp_path, epochs=4)) == whole


def test_a_job_that_fails_says_why(tmp_path, left_behind):
    says = r"(gpt_neox|mamba) on .* ValidationError: (?s:.*)width"
    with pytest.raises(ChildProcessError, match=says):
        suite(tmp_path, ["gpt_neox", "mamba"], jobs=2, width=33)
    assert not left_behind()


def test_a_job_in_a_fresh_interpreter_fails_with_its_cause(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "_context", lambda device: multiprocessing.get_context("spawn"))
    trial = Protocol(batch_size=16, width=33).trials(["gpt_neox"], [RECALL])[0]
    before = set(psutil.Process().children(recursive=True))
    with pool.training_pool(1, tmp_path, torch.device("cpu")) as jobs:
        failure = jobs.submit(trial).exception(240)
    assert isinstance(failure, ValidationError)
    assert "width" in str(failure)
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [process for process in left if "spawn_main" in " ".join(process.cmdline())]


def test_a_job_that_is_killed_is_a_failure(tmp_path, left_behind):
    def kill(progress):
        for worker in left_behind():
            worker.kill()

    with pytest.raises(ChildProcessError, match=r"ended unexpectedly.*use fewer jobs"):
        suite(tmp_path, jobs=2, epochs=200, report=kill)
    assert not left_behind()


def test_a_report_that_fails_leaves_no_process_and_no_noise(tmp_path, capfd, left_behind):
    def fail(progress):
        raise StopError

    with pytest.raises(StopError):
        suite(tmp_path, jobs=2, epochs=200, report=fail)
    assert not left_behind()
    assert "Traceback" not in capfd.readouterr().err

"""The worker, for real: a search of two tiny components in its own process, killed and resumed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from manticore.runs import Run, RunError, stages, start_run
from manticore.runs.launch import make_run_folder
from manticore.runs.worker import _attempt, describe, remedy_for
from manticore.store.events import EventWriter, read_events
from manticore.store.folder import LOG_FILE
from manticore.store.status import process_started
from tests.tiny_runs import do_here, run_config

TIMEOUT = 240.0
SHORT = {"steps": 12, "batch_size": 2, "eval_every": 6, "checkpoint_every": 3}
SHORT |= {"eval_batches": 1, "sample_tokens": 4, "warmup_steps": 2}
KILLED = {
    "search": {},
    "search by gaea": {"search": {"strategy": "gaea", "mixture_lr": 1.0}},
    "pretrain-projectors": {"stage": "pretrain-projectors", "pretrain_projectors": SHORT},
    "finetune": {"stage": "finetune", "finetune": SHORT},
    "finetune with adapters": {
        "stage": "finetune",
        "finetune": SHORT | {"lora": {"rank": 2, "dropout": 0.1}},
    },
}


@pytest.fixture
def config(component, tmp_path):
    """`config(steps=..., ...)`: a search of tiny components over a small text file."""
    parts = [component("gpt_neox"), component("mamba", width=24)]

    def make(stage="search", **fields):
        if stage == "search":
            fields["search"] = SHORT | fields.get("search", {})
        return run_config(tmp_path, parts, stage, **fields)

    return make


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The runs folder; whatever is still at work in it is killed afterwards."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "runs"
    yield folder
    for path in folder.iterdir() if folder.is_dir() else ():
        Run(path).kill()


def until(condition, timeout=TIMEOUT):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def step_of(run):
    return max((e["step"] for e in run.events() if e["kind"] == "step"), default=0)


def kinds(run):
    return [event["kind"] for event in run.events()]


@pytest.mark.parametrize("case", KILLED)
def test_a_killed_worker_is_resumed_and_gives_the_losses_of_an_unbroken_run(config, root, case):
    whole = do_here(start_run(config(**KILLED[case]), root=root, launch=False))
    broken = start_run(config(**KILLED[case]), root=root)
    until(lambda: step_of(broken) >= 5)
    broken.kill()
    until(lambda: broken.status.state == "died")
    with pytest.raises(RunError, match="died"):
        broken.wait(1)
    broken.resume().wait(TIMEOUT)
    assert broken.status.state == "done"
    assert kinds(broken).count("done") == 1
    np.testing.assert_array_equal(broken.losses()[0], np.arange(1, 13))
    np.testing.assert_allclose(broken.losses()[1], whole.losses()[1], rtol=0, atol=0)
    np.testing.assert_array_equal(broken.mixture_history(), whole.mixture_history())
    tensors = zip(
        whole.hybrid().state_dict().values(), broken.hybrid().state_dict().values(), strict=True
    )
    assert all((one == other).all() for one, other in tensors)


def test_a_killed_evaluation_is_done_again(config, root):
    fields = {"stage": "evaluate", "evaluate": {"batch_size": 2, "alignment_sequences": 4}}
    whole = do_here(start_run(config(**fields), root=root, launch=False))
    broken = start_run(config(**fields), root=root)
    until(lambda: "stage" in kinds(broken))
    broken.kill()
    until(lambda: broken.status.state in {"died", "done"})
    if broken.status.state == "died":
        broken.resume()
    broken.wait(TIMEOUT)
    assert kinds(broken).count("done") == 1
    assert broken.metrics() == whole.metrics()


def test_a_stopped_run_checkpoints_serves_its_hybrid_and_goes_on(config, root):
    run = start_run(config(search={"steps": 4000, "eval_every": 4000}), root=root)
    until(lambda: step_of(run) >= 4)
    with pytest.raises(RunError, match="stop it and wait"):
        run.resume()
    run.stop()
    run.wait(TIMEOUT)
    assert run.status.state == "stopped"
    assert "done" not in kinds(run)
    stopped_at = step_of(run)
    hybrid = run.hybrid()
    np.testing.assert_allclose(hybrid.mixture_weights, run.mixture_history()[-1], atol=1e-5)
    assert hybrid.tokenizer is not None
    run.resume()
    until(lambda: step_of(run) > stopped_at)
    steps = run.losses()[0].tolist()  # once: the run goes on
    assert steps == list(range(1, len(steps) + 1))


def test_a_done_run_has_its_hybrid_and_its_metrics(config, root):
    run = start_run(config(), root=root).wait(TIMEOUT)
    hybrid = run.hybrid()
    np.testing.assert_allclose(hybrid.mixture_weights, run.mixture_history()[-1], atol=1e-6)
    assert run.mixture_history().shape == (13, 2, 2)
    row = run.summary()
    assert row["metrics"]["perplexity"] > 1
    assert len(row["metrics"]["components"]) == 2


def test_sigterm_stops_it_too(config, root):
    run = start_run(config(search={"steps": 4000}), root=root)
    until(lambda: step_of(run) >= 1)
    os.kill(run.status.pid, signal.SIGTERM)
    run.wait(TIMEOUT)
    assert run.status.state == "stopped"


def test_the_run_goes_on_when_the_process_that_started_it_is_killed(config, root, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(config(search={"steps": 4000}).model_dump_json())
    code = (
        "import sys, time; from manticore.runs import RunConfig, start_run\n"
        "config = RunConfig.model_validate_json(open(sys.argv[1]).read())\n"
        "run = start_run(config, root=sys.argv[2])\n"
        "print(run.folder, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(root)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    run = Run(parent.stdout.readline().strip())
    until(lambda: step_of(run) >= 1)
    os.killpg(parent.pid, signal.SIGKILL)
    parent.communicate()
    before = step_of(run)
    until(lambda: step_of(run) > before + 2)
    assert run.status.state == "running"


def test_a_second_worker_is_refused(config, root):
    run = start_run(config(search={"steps": 4000}), root=root)
    until(lambda: step_of(run) >= 1)
    code = (
        "import sys; from manticore.runs import worker\n"
        "worker.LOCK_TIMEOUT = 0.1; sys.exit(worker.main([sys.argv[1]]))"
    )
    second = subprocess.run(
        [sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True, check=False
    )
    assert second.returncode == 3
    assert "another worker" in second.stderr
    assert run.status.state == "running"


def test_a_failure_says_what_and_what_to_do_and_can_be_looked_up(config, root):
    run = start_run(config(n_blocks=40), root=root)
    with pytest.raises(RunError, match="40"):
        run.wait(TIMEOUT)
    failed = run.events()[-1]
    assert failed["kind"] == "failed"
    assert "40" in failed["cause"]
    assert failed["remedy"]
    assert "Traceback" in (run.folder / LOG_FILE).read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    command = [sys.executable, "-m", "manticore.runs.worker", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "not a run folder" in result.stderr


def test_a_run_whose_launcher_died_before_the_worker_started_can_be_resumed(config, root):
    code = (
        "import sys; from manticore.runs import RunConfig\n"
        "from manticore.runs.launch import make_run_folder\n"
        "config = RunConfig.model_validate_json(sys.stdin.read())\n"
        "print(make_run_folder(config, root=sys.argv[1]))"
    )
    made = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        input=config(search={"steps": 2}).model_dump_json(),
        capture_output=True,
        text=True,
        check=True,
    )
    run = Run(made.stdout.strip())
    assert run.status.state == "died"
    assert run.resume().wait(TIMEOUT).status.state == "done"


def test_the_worker_leaves_no_zombie(config, root):
    run = start_run(config(search={"steps": 1}), root=root)
    pid = run.status.pid
    run.wait(TIMEOUT)
    until(lambda: process_started(pid) is None)


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (MemoryError(), "MemoryError", "smaller batch"),
        (OSError(28, "No space left on device"), "No space left", "disk space"),
        (ImportError("no mamba"), "ImportError: no mamba", "Install"),
        (ValueError("x is 3"), "x is 3", "Correct the value"),
        (RuntimeError("boom"), "RuntimeError: boom", "worker.log"),
        (RunError("ours says all"), "ours says all", "Correct the value"),
    ],
)
def test_every_error_has_a_cause_and_a_remedy(error, cause, remedy):
    assert cause in describe(error)
    assert remedy in remedy_for(error)


@pytest.mark.parametrize("completed", [True, False])
def test_a_request_to_stop_that_comes_too_late_stops_nothing(config, root, monkeypatch, completed):
    folder = make_run_folder(config(), root=root)
    monkeypatch.setattr(stages, "run_stage", lambda *given: completed)
    with EventWriter(folder) as events:
        assert _attempt(folder, events, lambda: True) == completed
    assert [event["kind"] for event in read_events(folder)[0]] == ["done"] * completed


def test_a_request_to_stop_ends_a_run_before_its_first_step(config, root):
    folder = make_run_folder(config(), root=root)
    asked = []

    def should_stop():
        asked.append(True)
        return len(asked) == 2

    with EventWriter(folder) as events:
        assert not _attempt(folder, events, should_stop)
    kinds = [event["kind"] for event in read_events(folder)[0]]
    assert kinds == ["stage"], "nothing was measured, and nothing trained"


def test_a_failure_to_make_the_folder_leaves_nothing(config, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(OSError, match="file"):
        make_run_folder(config(), root=blocked)

"""The worker: searches of two tiny components in processes of their own, killed and resumed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from manticore.runs import Run, RunError, stages, start_run, worker
from manticore.runs.launch import make_run_folder
from manticore.runs.worker import _attempt, describe, remedy_for
from manticore.store.events import EventWriter, read_events
from manticore.store.folder import LOG_FILE
from manticore.store.status import process_started, read_status, write_status
from manticore.train import evaluating
from tests.forked import run_forked
from tests.tiny_runs import do_here, run_config

TIMEOUT = 240.0
NOBODY = 2**22 + 1
"""More than the number of any process."""
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


def start_and_die(config, root):
    """A run whose worker goes on when the process that started it is killed, with its group."""
    code = (
        "import sys, time; from manticore.runs import RunConfig, start_run\n"
        "config = RunConfig.model_validate_json(sys.stdin.readline())\n"
        "run = start_run(config, root=sys.argv[1])\n"
        "print(run.folder, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    print(config.model_dump_json(), file=parent.stdin, flush=True)
    run = Run(parent.stdout.readline().strip())
    until(lambda: kinds(run))
    os.killpg(parent.pid, signal.SIGKILL)
    parent.communicate()
    return run


@pytest.mark.parametrize("case", KILLED)
def test_a_killed_worker_is_resumed_and_gives_the_losses_of_an_unbroken_run(
    config, root, case, request
):
    whole = do_here(start_run(config(**KILLED[case]), root=root, launch=False))
    if case == "search":  # once as outside of tests: such workers take seconds to start
        request.getfixturevalue("fresh_workers")
        broken = start_and_die(config(), root)
    else:
        broken = start_run(config(**KILLED[case]), root=root)
    until(lambda: step_of(broken) >= 5)
    broken.kill()
    until(lambda: broken.status.state == "died")
    with pytest.raises(RunError, match="died"):
        broken.wait(1)
    resumed = broken.resume().status.pid
    broken.wait(TIMEOUT)
    assert broken.status.state == "done"
    until(lambda: process_started(resumed) is None)  # nor is a zombie left
    assert kinds(broken).count("done") == 1
    np.testing.assert_array_equal(broken.losses()[0], np.arange(1, 13))
    np.testing.assert_allclose(broken.losses()[1], whole.losses()[1], rtol=0, atol=0)
    np.testing.assert_array_equal(broken.mixture_history(), whole.mixture_history())
    tensors = zip(
        whole.hybrid().state_dict().values(), broken.hybrid().state_dict().values(), strict=True
    )
    assert all((one == other).all() for one, other in tensors)


def die_measuring(folder):
    """A worker that is killed in the middle of an evaluation."""
    evaluating.alignment_error = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    return worker.main([folder])


def test_a_killed_evaluation_is_done_again(config, root):
    fields = {"stage": "evaluate", "evaluate": {"batch_size": 2, "alignment_sequences": 4}}
    whole = do_here(start_run(config(**fields), root=root, launch=False))
    broken = start_run(config(**fields), root=root, launch=False)
    log = broken.folder / LOG_FILE
    assert run_forked(die_measuring, str(broken.folder), output=log) == [-signal.SIGKILL]
    assert broken.status.state == "died"
    assert "stage" in kinds(broken)
    assert "eval" not in kinds(broken)
    broken.resume().wait(TIMEOUT)
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
    assert "Another worker" in second.stderr
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


@pytest.mark.parametrize("killed", [False, True], ids=["done", "killed after its last event"])
def test_a_worker_leaves_a_finished_run_alone(config, root, killed):
    run = do_here(start_run(config(), root=root, launch=False))
    weights = run.folder / "result" / "hybrid" / "model.safetensors"
    before, events = weights.stat().st_mtime_ns, run.events()
    if killed:
        write_status(run.folder, "running", pid=NOBODY)
        assert run.status.state == "died"
        run.resume().wait(TIMEOUT)
    else:
        assert worker.main([str(run.folder)]) == 0
    assert run.status.state == "done"
    assert run.events() == events
    assert weights.stat().st_mtime_ns == before


def test_a_run_that_another_worker_has_just_finished_is_left_alone(config, root, monkeypatch):
    folder = make_run_folder(config(), root=root)
    with EventWriter(folder) as events:
        events.emit("done")
    assert worker.work(folder) == 0
    assert read_status(folder).state == "done"
    # Of several processes, those that began before the end must not wait for this one for ever.
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert worker.work(folder) == worker.LOCKED
    assert [event["kind"] for event in read_events(folder)[0]] == ["done"]


STRAY = [
    {"RANK": "1"},
    {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"},
    {"WORLD_SIZE": "2"},
    {"RANK": "0", "WORLD_SIZE": "2"},
    {"RANK": "one"},
    {"RANK": "3", "WORLD_SIZE": "2", "LOCAL_RANK": "3", "MASTER_ADDR": "x", "MASTER_PORT": "1"},
]


@pytest.mark.parametrize("stray", STRAY, ids=str)
def test_what_another_program_left_in_the_environment_is_said(
    config, root, monkeypatch, caplog, stray
):
    folder = make_run_folder(config(), root=root)
    for name in (*worker.RANKS, *worker.MEETING_POINT):
        monkeypatch.delenv(name, raising=False)
    for name, value in stray.items():
        monkeypatch.setenv(name, value)
    assert worker.main([str(folder)]) == worker.REFUSED
    assert all(f"{name}={stray[name]}" in caplog.text for name in stray if name in worker.RANKS)
    assert "accelerate launch" in caplog.text


def test_a_run_starts_whatever_another_program_left_in_the_environment(config, root, monkeypatch):
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
        "ACCELERATE_USE_FSDP": "true",
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "7",
    }.items():
        monkeypatch.setenv(name, value)
    run = start_run(config(search={"steps": 2}), root=root).wait(TIMEOUT)
    assert run.status.state == "done"


@pytest.mark.parametrize("device", ["cuda:99", "cuda"])
def test_a_device_that_is_not_there_is_refused_before_the_run_is_made(
    config, root, monkeypatch, device
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=f"no device '{device}' on this machine: choose"):
        start_run(config(device=device), root=root)
    assert not root.exists()
    # A run for another machine may be made here.
    elsewhere = start_run(config(device=device), root=root, launch=False)
    with pytest.raises(ValueError, match="no device"):
        elsewhere.resume()


@pytest.mark.parametrize("device", ["", "float32", "gpu", "cuda:", "cuda:-1"])
def test_what_is_not_a_device_is_refused(config, device):
    with pytest.raises(ValueError, match=r"(?s)device.*auto, cpu, cuda or cuda:N"):
        config(device=device)


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


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (MemoryError(), "MemoryError", "smaller batch"),
        (OSError(28, "No space left on device"), "The disk is full.", "disk space"),
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
    assert kinds == ["stage", "hybrid"], "nothing was measured, and nothing trained"


def test_a_failure_to_make_the_folder_leaves_nothing(config, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(OSError, match="file"):
        make_run_folder(config(), root=blocked)

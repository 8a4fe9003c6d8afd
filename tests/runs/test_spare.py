"""The spare worker: what its runs give, when it is not used, and that it outlives nobody."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from manticore import build_hybrid, load_text
from manticore.data import floor, resolve
from manticore.names import PLUGINS_VARIABLE
from manticore.runs import Run, launch, spare, start_run, waiting
from manticore.runs.spare import SPARE
from manticore.store.folder import LOG_FILE
from manticore.store.status import process_started
from tests import forked
from tests.browsing import free_port, wait_for_server
from tests.tiny_runs import do_here, run_config

TIMEOUT = 240.0
SHORT = {"steps": 8, "batch_size": 2, "eval_every": 4, "checkpoint_every": 2}
SHORT |= {"eval_batches": 1, "sample_tokens": 4, "warmup_steps": 2}


@pytest.fixture(autouse=True)
def _real_workers(fresh_workers, monkeypatch):
    """Workers and spares are processes as outside of tests; the spare does not outlive the test."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    SPARE.dismiss()


@pytest.fixture
def config(component, tmp_path):
    """`config(steps=..., ...)`: a search of tiny components over a small text file."""
    parts = [component("gpt_neox"), component("mamba", width=24)]
    return lambda **options: run_config(tmp_path, parts, options=SHORT | options)


@pytest.fixture
def root(tmp_path):
    """The runs folder; whatever is still at work in it is killed afterwards."""
    folder = tmp_path / "runs"
    yield folder
    for path in folder.iterdir() if folder.is_dir() else ():
        Run(path).kill()


def until(condition, timeout=TIMEOUT):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def warmed() -> int:
    SPARE.warm()
    assert SPARE.pid is not None
    return SPARE.pid


def waits(pid: int) -> bool:
    """Whether a spare has imported everything: then it takes no processor time."""
    spent = psutil.Process(pid).cpu_times().user
    time.sleep(0.5)
    return spent > 1 and psutil.Process(pid).cpu_times().user == spent


def is_gone(pid: int) -> bool:
    return process_started(pid) is None


def test_a_run_of_the_spare_equals_that_of_another_process(config, root):
    pid = warmed()
    cold = do_here(start_run(config(), root=root, launch=False))
    until(lambda: waits(pid))
    warm = start_run(config(), root=root)
    assert warm.status.pid == pid
    assert SPARE.pid is None
    assert os.getsid(pid) == pid != os.getsid(0)
    warm.wait(TIMEOUT)
    assert [event["kind"] for event in warm.events()] == [event["kind"] for event in cold.events()]
    np.testing.assert_array_equal(warm.losses()[1], cold.losses()[1])
    np.testing.assert_array_equal(warm.mixture_history(), cold.mixture_history())
    both = zip(*(run.hybrid().state_dict().values() for run in (warm, cold)), strict=True)
    assert all((one == other).all() for one, other in both)
    until(lambda: is_gone(pid))


def test_while_it_waits_the_bundled_stories_are_tokenized(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MANTICORE_CACHE", str(tmp_path))
    # Fewer stories: which there are, and that none is missing, is as it is with all.
    monkeypatch.setattr(resolve, "N_STORIES", 400)
    monkeypatch.setattr(floor, "SAMPLE", 100)
    waiting.prepare_texts(lambda: True)
    assert list(tmp_path.iterdir()) == []
    waiting.prepare_texts(lambda: False)
    kept = set(tmp_path.rglob("*"))
    caplog.set_level("INFO", "manticore.data")
    hybrid = build_hybrid(["zoo:tales-neox", "zoo:novelas-mamba"], n_blocks=2)
    for text in ("stories-mixed", "stories-en", "stories-es"):
        data = load_text(f"bundled:{text}", tokenizer=hybrid.tokenizer, seq_len=128)
        assert data.floor is not None
    assert set(tmp_path.rglob("*")) == kept
    assert "Tokenizing" not in caplog.text


def test_a_killed_or_stopped_run_of_the_spare_is_resumed(config, root):
    # Handed over at once, while it still imports.
    pid = warmed()
    run = start_run(config(steps=4000), root=root)
    assert run.status.pid == pid
    until(lambda: len(run.losses()[0]) > 4)
    run.kill()
    until(lambda: run.status.state == "died")
    pid = warmed()
    run.resume()
    assert run.status.pid == pid
    before = len(run.losses()[0])
    until(lambda: len(run.losses()[0]) > before)
    os.kill(pid, signal.SIGTERM)
    run.wait(TIMEOUT)
    assert run.status.state == "stopped"
    assert run.losses()[0].tolist() == list(range(1, len(run.losses()[0]) + 1))


def test_a_failure_of_the_spares_run_is_in_the_log(config, root):
    pid = warmed()
    run = start_run(config().model_copy(update={"n_blocks": 40}), root=root)
    assert run.status.pid == pid
    until(lambda: run.status.state == "failed")
    assert "Traceback" in (run.folder / LOG_FILE).read_text()
    assert "40" in run.events()[-1]["cause"]


def changed_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MANTICORE_CACHE", str(tmp_path / "elsewhere"))


def changed_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def changed_code(monkeypatch, tmp_path):
    (tmp_path / "edited.py").write_text("x = 2")


def killed(monkeypatch, tmp_path):
    pid = SPARE.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: is_gone(pid))


@pytest.mark.parametrize("change", [changed_environment, changed_folder, changed_code, killed])
def test_a_spare_that_does_not_fit_is_not_used(tmp_path, monkeypatch, change):
    # In place of the package, which other processes use: what is looked at for edits.
    (tmp_path / "edited.py").write_text("x = 1")
    os.utime(tmp_path / "edited.py", (0, 0))
    monkeypatch.setattr(spare, "_PACKAGE", tmp_path)
    pid = warmed()
    change(monkeypatch, tmp_path)
    assert SPARE.take(tmp_path, tmp_path / LOG_FILE) is None
    assert is_gone(pid)
    assert SPARE.take(tmp_path, tmp_path / LOG_FILE) is None, "there is none any more"


def test_without_a_fitting_spare_a_new_worker_starts(config, root, monkeypatch):
    def new(module, folder, stdin, stdout):
        return forked.start_process(Path(folder), stdout)

    pid = warmed()
    monkeypatch.setattr(launch, "start_worker_process", new)
    monkeypatch.setenv("MANTICORE_ZOO", str(root))
    run = start_run(config(steps=2), root=root)
    assert run.status.pid != pid
    assert run.wait(TIMEOUT).status.state == "done"


def test_modules_of_ones_own_are_always_imported_again(monkeypatch):
    monkeypatch.setenv(PLUGINS_VARIABLE, "json")
    SPARE.warm()
    assert SPARE.pid is None


def test_a_spare_that_was_taken_is_replaced_where_one_is_kept(config, root):
    SPARE.keep(refill_after=0.0)
    first = SPARE.pid
    run = start_run(config(steps=2), root=root)
    assert run.status.pid == first
    until(lambda: SPARE.pid not in (None, first))
    second = SPARE.pid
    SPARE.dismiss()
    assert is_gone(second)
    SPARE.take(root, root)
    assert SPARE.pid is None, "none is made after the last"


def spares_of(pid: int) -> list[int]:
    children = psutil.Process(pid).children()
    return [child.pid for child in children if "manticore.runs.waiting" in child.cmdline()]


PARENT = """
import os, sys, time
from manticore.runs.spare import SPARE
SPARE.warm()
fork = os.fork()
if fork:
    print(SPARE.pid, fork, flush=True)
    {then}
time.sleep(600)
"""


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_the_spare_ends_with_the_process_that_made_it(end):
    code = PARENT.format(then="sys.exit()" if end == "exit" else "")
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid, fork = map(int, parent.stdout.readline().split())
        try:
            if end == "kill":
                assert not is_gone(pid)
                parent.kill()
            until(lambda: is_gone(pid))
            assert not is_gone(fork), "a fork of it keeps the spare from nothing"
        finally:
            os.kill(fork, signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_page_keeps_a_spare_and_leaves_no_process(tmp_path, how):
    port = free_port()
    command = [sys.executable, "-m", "app.main", "--port", str(port), "--runs-root", str(tmp_path)]
    with subprocess.Popen(command, start_new_session=True) as page:
        try:
            wait_for_server(page, f"http://127.0.0.1:{port}")
            until(lambda: spares_of(page.pid))
            (made,) = spares_of(page.pid)
            page.send_signal(how)
            page.wait(TIMEOUT)
            until(lambda: is_gone(made))
        finally:
            page.kill()

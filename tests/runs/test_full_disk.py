"""A file system that takes no more: the run says so, loses nothing, and goes on once there is room.

A limit on the size of files stands for the full disk: the system refuses a write in its middle, as
a full one does, with another number.
"""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError

from manticore.runs import Run, worker
from manticore.runs.launch import make_run_folder
from tests.tiny_runs import run_config

STEPS = 6
# Limits the size of files from a step on, or once all are done, then works.
SCRIPT = """
import resource, signal, sys
from pathlib import Path
from manticore.runs import worker
from manticore.train.assembly import Assembly
from manticore.train.watcher import Watcher

folder, at, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
report = Watcher.step_done

def report_and_fill(watcher, step):
    report(watcher, step)
    if step == at:
        fill()

def finish_and_fill(assembly):
    found = finish(assembly)
    if at > watched_steps:
        fill()
    return found

def fill():
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

finish, watched_steps = Assembly.finish, int(sys.argv[4])
Watcher.step_done, Assembly.finish = report_and_fill, finish_and_fill
sys.exit(worker.main([str(folder)]))
"""


@pytest.fixture
def make(component: Callable[..., str], tmp_path: Path) -> Callable[[str], Run]:
    def make_run(name: str) -> Run:
        search = {"steps": STEPS, "batch_size": 2, "eval_every": STEPS, "eval_batches": 1}
        search |= {"checkpoint_every": 2, "sample_prompt": "", "mixture_lr": 0.3}
        parts = [component("gpt_neox"), component("mamba", width=24)]
        config = run_config(tmp_path, parts, "search", search)
        return Run(make_run_folder(config, root=tmp_path / name))

    return make_run


def work(run: Run, full_at: int = -1, limit: int = resource.RLIM_INFINITY) -> int:
    command = [sys.executable, "-c", SCRIPT, str(run.folder), str(full_at), str(limit), str(STEPS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    return done.returncode


@pytest.mark.parametrize(
    ("full_at", "limit"),
    [(3, 50_000), (STEPS, 50_000), (STEPS + 1, 50_000), (3, 1_000)],
    ids=["checkpoint", "last checkpoint", "result", "events"],
)
def test_a_full_disk_stops_the_run_which_then_goes_on(
    make: Callable[[str], Run], full_at: int, limit: int
) -> None:
    whole, run = make("whole"), make("full")
    assert work(whole) == 0
    assert work(run, full_at, limit) == 1
    assert run.status.state == "failed"
    assert run.status.message
    before = run.losses()[1].tolist()
    assert len(before) >= min(full_at, STEPS)
    if limit > 1_000:  # else the event of the failure finds no room either
        assert run.events()[-1]["kind"] == "failed"
        assert "disk space" in run.events()[-1]["remedy"]
    assert not (run.folder / worker.BALLAST_FILE).exists()
    assert not list((run.folder / "checkpoints").glob("partial"))
    saved = sorted(path.name for path in (run.folder / "checkpoints").iterdir())
    assert saved[-1] == f"step-{2 * ((full_at - 1) // 2):08d}"
    assert run.hybrid() is not None
    assert work(run) == 0
    assert run.losses()[1].tolist() == whole.losses()[1].tolist()
    assert run.mixture_history().tolist() == whole.mixture_history().tolist()
    assert (run.hybrid().mixture_weights == whole.hybrid().mixture_weights).all()


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (SafetensorError("I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("a writer failed"), False),
        (OSError(errno.EACCES, "Permission denied"), False),
    ],
)
def test_a_full_disk_is_known_whoever_meets_it(error: Exception, full: bool) -> None:
    assert ("disk space" in worker.remedy_for(error)) == full
    outer = RuntimeError("the checkpoint was not written")
    outer.__cause__ = error
    assert ("disk space" in worker.remedy_for(outer)) == full


def test_a_full_disk_is_known_where_torch_meets_it(tmp_path: Path) -> None:
    script = "import resource, signal, sys, torch; from manticore.runs import worker\n"
    script += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    script += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
    script += "try:\n    torch.save(torch.zeros(9999), sys.argv[1])\n"
    script += "except Exception as error:\n    print(worker.remedy_for(error))\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path / "optimizer.bin")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "disk space" in done.stdout, done.stderr


def test_room_is_kept_for_the_last_words(make: Callable[[str], Run]) -> None:
    run = make("whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "manticore.runs.worker", str(run.folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while not run.losses()[0].size:
        assert process.poll() is None
    kept = (run.folder / worker.BALLAST_FILE).stat()
    assert kept.st_size == worker.BALLAST_SIZE
    assert process.wait(120) == 0
    assert not (run.folder / worker.BALLAST_FILE).exists()

"""A file system that takes no more: the run says so, loses nothing, and goes on once there is room.

A limit on the size of files stands for the full disk: the system refuses a write in its middle, as
a full one does, with another number.
"""

import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from manticore.runs import Run, worker
from manticore.runs.launch import make_run_folder
from manticore.store.status import write_status
from tests.tiny_runs import run_config

STEPS = 6
# Limits the size of files from a step on, or once all are done, then works.
SCRIPT = """
import resource, signal, sys
from pathlib import Path
from manticore.runs import worker
from manticore.train.assembly import Assembly
from manticore.train.reporting import Reporter

folder, at, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
report = Reporter.step_done

def report_and_fill(reporter, step, loss):
    report(reporter, step, loss)
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
Reporter.step_done, Assembly.finish = report_and_fill, finish_and_fill
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
    assert run.status.message.startswith("The disk is full: ")
    assert str(run.folder) in run.status.message
    before = run.losses()[1].tolist()
    assert len(before) >= min(full_at, STEPS)
    if limit > 1_000:  # else the event of the failure finds no room either
        assert run.events()[-1]["kind"] == "failed"
        assert run.events()[-1]["cause"] == run.status.message
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


def full_disk_here(script: str, *arguments: object) -> str:
    """What a script prints in a process whose files may have 1,000 bytes and no more."""
    limit = "import resource, signal, sys\n"
    limit += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "def fill():\n"
    limit += "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", limit + script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_is_known_where_torch_meets_it(tmp_path: Path) -> None:
    script = "import torch; from manticore.runs import worker; fill()\n"
    script += "try:\n    torch.save(torch.zeros(9999), sys.argv[1])\n"
    script += "except Exception as error:\n"
    script += "    print(worker.describe(error), worker.remedy_for(error))\n"
    said = full_disk_here(script, tmp_path / "optimizer.bin")
    assert said.startswith("The disk is full. Free some disk space")


def test_a_broken_file_is_not_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "optimizer.bin").write_bytes(b"PK\x03\x04" + bytes(99))
    with pytest.raises(RuntimeError) as broken:
        torch.load(tmp_path / "optimizer.bin")
    assert "disk" not in worker.remedy_for(broken.value)


def test_a_run_that_finds_no_room_is_not_made(make: Callable[[str], Run], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(make("elsewhere").config.model_dump_json())
    script = "from pathlib import Path; from manticore.runs import RunConfig, start_run\n"
    script += "from manticore.hybrid import build_hybrid\n"
    script += "config = RunConfig.model_validate_json(Path(sys.argv[1]).read_text())\n"
    script += "hybrid = build_hybrid(list(config.components), 2, projector_init='identity')\n"
    script += "fill()\n"
    script += "try:\n    start_run(config, hybrid, sys.argv[2])\n"
    script += "except OSError as error:\n    print(error)\n"
    said = full_disk_here(script, tmp_path / "config.json", tmp_path / "runs")
    assert said.startswith("The disk is full: ")
    assert said.strip().endswith("Free some space, then try again.")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_that_finds_no_room_is_not_resumed(make: Callable[[str], Run]) -> None:
    run = make("run")
    write_status(run.folder, "stopped", message="x" * 2000)
    script = "from manticore.runs import Run, launch\n"
    script += "from manticore.store import status\n"
    # The status of a run that is resumed is far shorter than the limit, whatever else it is.
    script += "status.socket.gethostname = lambda: 'a' * 2000\n"
    script += "fill()\n"
    script += "try:\n    Run(sys.argv[1]).resume()\n"
    script += "except OSError as error:\n    print(error)\n"
    assert full_disk_here(script, run.folder).startswith("The disk is full: ")
    assert run.status.state == "stopped"
    assert run.events() == []


def test_room_is_kept_for_the_last_words(make: Callable[[str], Run]) -> None:
    run = make("whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "manticore.runs.worker", str(run.folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while not run.losses()[0].size:
        assert process.poll() is None
        time.sleep(0.02)
    kept = (run.folder / worker.BALLAST_FILE).stat()
    assert kept.st_size == worker.BALLAST_SIZE
    assert process.wait(120) == 0
    assert not (run.folder / worker.BALLAST_FILE).exists()

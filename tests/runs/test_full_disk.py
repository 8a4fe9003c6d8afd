"""A file system that takes no more: the run says so, loses nothing, and goes on once there is room.

A limit on the size of files stands for the full disk: the system refuses a write in its middle, as
a full one does, with another number.
"""

import errno
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from manticore.hybrid import build_hybrid
from manticore.runs import Run, RunConfig, start_run, worker
from manticore.runs.launch import make_run_folder, spawn_worker
from manticore.store import status
from manticore.store.folder import LOG_FILE
from manticore.train.assembly import Assembly
from manticore.train.reporting import Reporter
from tests.forked import run_forked
from tests.tiny_runs import do_here, run_config

STEPS = 6
LITTLE = 1_000


def limit_files(size: int) -> None:
    """From now on, no file of this process can grow beyond so many bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fill_at(folder: str, at: int, size: int) -> int:
    """A worker whose disk is full from a step on, or once all are done."""
    report, finish = Reporter.step_done, Assembly.finish

    def report_and_fill(reporter: Reporter, step: int, loss: float) -> None:
        report(reporter, step, loss)
        if step == at:
            limit_files(size)

    def finish_and_fill(assembly: Assembly) -> dict:
        found = finish(assembly)
        if at > STEPS:
            limit_files(size)
        return found

    Reporter.step_done, Assembly.finish = report_and_fill, finish_and_fill
    return worker.main([folder])


@pytest.fixture(scope="module")
def make(
    component: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Run]:
    folder = tmp_path_factory.mktemp("full")

    def make_run() -> Run:
        search = {"steps": STEPS, "batch_size": 2, "eval_every": STEPS, "eval_batches": 1}
        search |= {"checkpoint_every": 2, "sample_prompt": "", "mixture_lr": 0.3}
        parts = [component("gpt_neox"), component("mamba", width=24)]
        config = run_config(folder, parts, "search", search)
        return Run(make_run_folder(config, root=folder / "runs"))

    return make_run


@pytest.fixture(scope="module")
def whole(make: Callable[[], Run]) -> Run:
    """The run on a disk with room."""
    return do_here(make())


def work(run: Run, full_at: int = -1, limit: int = 0) -> int:
    (status,) = run_forked(fill_at, str(run.folder), full_at, limit, output=run.folder / LOG_FILE)
    return status


@pytest.mark.parametrize(
    ("full_at", "limit"),
    [(3, 50_000), (STEPS, 50_000), (STEPS + 1, 50_000), (3, LITTLE)],
    ids=["checkpoint", "last checkpoint", "result", "events"],
)
def test_a_full_disk_stops_the_run_which_then_goes_on(
    make: Callable[[], Run], whole: Run, full_at: int, limit: int
) -> None:
    run = make()
    assert work(run, full_at, limit) == 1
    assert run.status.state == "failed"
    assert run.status.message.startswith("The disk is full: ")
    assert str(run.folder) in run.status.message
    before = run.losses()[1].tolist()
    assert len(before) >= min(full_at, STEPS)
    if limit > LITTLE:  # else the event of the failure finds no room either
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


def write_by_torch(path: str) -> None:
    limit_files(LITTLE)
    try:
        torch.save(torch.zeros(9999), path)
    except RuntimeError as error:
        print(worker.describe(error), worker.remedy_for(error), flush=True)


def test_a_full_disk_is_known_where_torch_meets_it(tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert run_forked(write_by_torch, str(tmp_path / "optimizer.bin"), output=output) == [0]
    assert output.read_text().startswith("The disk is full. Free some disk space")


def test_a_broken_file_is_not_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "optimizer.bin").write_bytes(b"PK\x03\x04" + bytes(99))
    with pytest.raises(RuntimeError) as broken:
        torch.load(tmp_path / "optimizer.bin")
    assert "disk" not in worker.remedy_for(broken.value)


def start_without_room(config: RunConfig, root: str) -> None:
    hybrid = build_hybrid(list(config.components), 2, projector_init="identity")
    limit_files(LITTLE)
    try:
        start_run(config, hybrid, root)
    except OSError as error:
        print(error, flush=True)


def test_a_run_that_finds_no_room_is_not_made(make: Callable[[], Run], tmp_path: Path) -> None:
    output, config = tmp_path / "output", make().config
    assert run_forked(start_without_room, config, str(tmp_path / "runs"), output=output) == [0]
    said = output.read_text().splitlines()[-1]
    assert said.startswith("The disk is full: ")
    assert said.endswith("Free some space, then try again.")
    assert list((tmp_path / "runs").iterdir()) == []


def resume_without_room(folder: str) -> None:
    # A status is far shorter than the least limit that can be told from none.
    status.socket.gethostname = lambda: "a" * 2 * LITTLE
    limit_files(LITTLE)
    try:
        Run(folder).resume()
    except OSError as error:
        print(error, flush=True)


def test_a_run_that_finds_no_room_is_not_resumed(make: Callable[[], Run], tmp_path: Path) -> None:
    run, output = make(), tmp_path / "output"
    status.write_status(run.folder, "stopped")
    assert run_forked(resume_without_room, str(run.folder), output=output) == [0]
    assert output.read_text().startswith("The disk is full: ")
    assert run.status.state == "stopped"
    assert run.events() == []


def test_room_is_kept_for_the_last_words(make: Callable[[], Run]) -> None:
    run = make()
    spawn_worker(run.folder)
    while not run.losses()[0].size:
        assert run.is_alive
        time.sleep(0.02)
    kept = (run.folder / worker.BALLAST_FILE).stat()
    assert kept.st_size == worker.BALLAST_SIZE
    assert run.wait(120).status.state == "done"
    assert not (run.folder / worker.BALLAST_FILE).exists()

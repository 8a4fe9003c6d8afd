"""Work shared among threads: every task once, errors raised, alive after a fork."""

import multiprocessing
import os
import threading

import pytest
import torch

from manticore.ops import selective_scan
from manticore.ops.cpu.worker_pool import run_ranges


@pytest.mark.parametrize(("n_tasks", "n_workers"), [(1, 1), (7, 2), (3, 3), (10, 4)])
def test_every_task_is_done_once(n_tasks, n_workers):
    done, lock = [], threading.Lock()

    def kernel(worker, start, stop):
        with lock:
            done.extend((worker, task) for task in range(start, stop))

    run_ranges(kernel, n_tasks, n_workers)
    assert sorted(task for _, task in done) == list(range(n_tasks))
    assert {worker for worker, _ in done} == set(range(n_workers))


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_a_worker_is_raised(failing):
    def kernel(worker, start, stop):
        if worker == failing:
            raise RuntimeError(f"worker {worker}")

    with pytest.raises(RuntimeError, match=f"worker {failing}"):
        run_ranges(kernel, 4, 2)


def _scan() -> torch.Tensor:
    x = torch.linspace(-1, 1, 2 * 64 * 200).view(2, 64, 200)
    B = torch.linspace(-1, 1, 2 * 16 * 200).view(2, 16, 200)
    return selective_scan(x, x.abs(), -torch.ones(64, 16), B, B)


def _scan_in_child(connection) -> None:
    torch.set_num_threads(2)
    connection.send(_scan().sum().item())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_pool_of_its_own():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = _scan().sum().item()  # the parent's pool exists now
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_scan_in_child, args=(sender,))
        child.start()
        assert receiver.poll(60), "the child hangs"
        assert receiver.recv() == pytest.approx(expected)
        child.join(10)
    finally:
        torch.set_num_threads(threads)

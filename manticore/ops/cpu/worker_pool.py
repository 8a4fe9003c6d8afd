"""Python threads for kernels that release the interpreter lock.

Numba's own parallel loops are not used: their default threading layer aborts the process when two
Python threads enter it at the same time, as a training thread and a sampling thread do.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_SMALLEST_SHARED_WORK = 1 << 18

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _forget_pool() -> None:
    """After a fork the child has the pool's bookkeeping, and a lock, but none of its threads."""
    global _lock, _pool, _pool_size
    _lock, _pool, _pool_size = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _submit(size: int, calls: list[Callable[[], None]]) -> list:
    """Hand the calls to a pool of at least `size` threads, which grows and never shrinks."""
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < size:
            if _pool is not None:
                _pool.shutdown(wait=False)  # what was submitted to it still runs
            _pool, _pool_size = ThreadPoolExecutor(size, thread_name_prefix="scan"), size
        return [_pool.submit(call) for call in calls]


def worker_count(n_tasks: int, work: int) -> int:
    """Number of workers that share a scan: as many threads as torch's own operations use.

    A single one if there is little work, which is done before a thread wakes up.

    Args:
        n_tasks: Number of tasks; no worker is without one.
        work: State updates in all tasks together.
    """
    return max(1, min(torch.get_num_threads(), n_tasks)) if work >= _SMALLEST_SHARED_WORK else 1


def run_ranges(kernel: Callable[[int, int, int], None], n_tasks: int, n_workers: int) -> None:
    """Call kernel(worker, start, stop) over even contiguous ranges of range(n_tasks).

    The calling thread takes the first range itself. An exception in any worker is raised here,
    after all of them have ended.

    Args:
        kernel: Function of a worker's index and its range of tasks.
        n_tasks: Number of tasks.
        n_workers: Number of workers, at most n_tasks.
    """
    bounds = [n_tasks * worker // n_workers for worker in range(n_workers + 1)]
    if n_workers == 1:
        kernel(0, 0, n_tasks)
        return

    def call_for(worker: int) -> Callable[[], None]:
        return lambda: kernel(worker, bounds[worker], bounds[worker + 1])

    futures = _submit(n_workers - 1, [call_for(worker) for worker in range(1, n_workers)])
    try:
        kernel(0, bounds[0], bounds[1])
    finally:
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error

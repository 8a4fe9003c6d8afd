"""Several trials of the suite at a time, each in a process of its own.

A small model leaves most of a GPU idle, and gains little from a second core.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch

from manticore.suite.fitting import fit_trial
from manticore.suite.protocol import Trial
from manticore.train.devices import use_device

_stop: Any = None
"""In a process of the pool: a shared value, true once trials should save and end."""


class TrainingPool:
    """Processes that fit trials; see `training_pool`."""

    def __init__(self, executor: ProcessPoolExecutor, folder: Path, device: str, stop: Any) -> None:
        self._executor, self._folder, self._device = executor, folder, device
        self._stop = stop

    def submit(self, trial: Trial) -> "Future[dict[str, Any] | None]":
        """Fit a trial; its result is as from `fit_trial`, or None where it was stopped before."""
        return self._executor.submit(_fit, trial, self._folder, self._device)

    def stop(self) -> None:
        """Ask all trials to save where they are, and to end."""
        self._stop.value = True


@contextmanager
def training_pool(jobs: int, folder: Path, device: torch.device) -> Iterator[TrainingPool]:
    """A pool of processes; when it is left, all have saved where they are and ended.

    Args:
        jobs: Number of processes. On a CPU they share its cores.
        folder: Folder of the suite.
        device: Device of all of them.
    """
    context = _context(device)
    stop = context.RawValue(ctypes.c_bool, False)
    threads = max(1, torch.get_num_threads() // jobs)
    executor = ProcessPoolExecutor(jobs, context, _begin, (threads, stop))
    pool = TrainingPool(executor, folder, str(device), stop)
    try:
        yield pool
    finally:
        pool.stop()
        executor.shutdown(wait=True, cancel_futures=True)


def _context(device: torch.device) -> BaseContext:
    """How processes start: forked from one that has imported everything, where that is safe.

    CUDA cannot be used after a fork from a process that has looked for GPUs, and on macOS forking
    is unsafe in general.
    """
    if sys.platform != "linux" or device.type != "cpu":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _begin(threads: int, stop: Any) -> None:
    """Prepare a process of the pool."""
    global _stop
    _stop = stop
    # Ctrl-C is for the parent, which says how to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Nothing continues behind a parent that was killed; trials resume from their checkpoints."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _fit(trial: Trial, folder: Path, device: str) -> dict[str, Any] | None:
    try:
        return fit_trial(trial, folder, use_device(device), should_stop=lambda: _stop.value)
    except KeyboardInterrupt:
        return None

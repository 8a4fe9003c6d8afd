"""Processes forked from one that has imported everything: they start in no time.

A worker takes seconds to import torch, transformers and accelerate, and the suite starts many. Here
a server imports them once, and forks a child for each: it is a process as any worker is, in a
session of its own, that can be killed, stopped and waited for. Only its start is not the product's;
tests of the start itself ask for the fixture `fresh_workers`.
"""

import contextlib
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, BinaryIO

from manticore.paths import worker_environment

PATIENCE = 2.0
"""Seconds that a process has to end after another of its run has failed."""
_ROOT = Path(__file__).parent.parent
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preloaded"])


class ForkedWorker:
    """A forked worker, as `manticore.runs.launch` knows its workers."""

    def __init__(self, process: ForkServerProcess) -> None:
        self.process = process
        self.pid = process.pid

    def wait(self) -> None:
        self.process.join()

    def kill(self) -> None:
        self.process.kill()


def start_process(folder: Path, output: BinaryIO) -> ForkedWorker:
    """Stands for `manticore.runs.launch.start_process`."""
    return ForkedWorker(_start(_work, [str(folder)], worker_environment(), Path(output.name)))


def _work(folder: str) -> int:
    from manticore.runs import worker

    return worker.main([folder])


def run_forked(
    target: Callable[..., int | None],
    *arguments: Any,
    output: Path,
    environments: Sequence[Mapping[str, str]] = ({},),
    timeout: float = 240,
) -> list[int]:
    """Exit status of each of one or more processes that call a function at the same time.

    Where one fails, the others, which may be waiting for it, are killed, as torchrun does it.

    Args:
        target: Function of a module; what it returns is the exit status.
        arguments: Arguments of the function.
        output: File that what they write is appended to.
        environments: What each process has in its environment besides this one's.
        timeout: Seconds after which they are killed.
    """
    given = [{**os.environ, **more} for more in environments]
    started = [_start(target, arguments, environment, output) for environment in given]
    deadline = time.monotonic() + timeout
    waiting = {process.sentinel: process for process in started}
    try:
        while waiting and (ended := wait(list(waiting), deadline - time.monotonic())):
            for process in [waiting.pop(sentinel) for sentinel in ended]:
                process.join()
                if process.exitcode != 0:
                    deadline = min(deadline, time.monotonic() + PATIENCE)
    finally:
        for process in waiting.values():
            process.kill()
            process.join()
    return [process.exitcode for process in started]


def two_processes() -> list[dict[str, str]]:
    """Environments of two processes that find each other, as `accelerate launch` makes them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        meeting_point = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    return [
        {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        | meeting_point
        for rank in ("0", "1")
    ]


def _start(
    target: Callable[..., int | None],
    arguments: Any,
    environment: Mapping[str, str],
    output: Path,
) -> ForkServerProcess:
    with contextlib.chdir(_ROOT):  # where the server finds what it imports
        forkserver.ensure_running()
    given = (target, arguments, dict(environment), str(Path.cwd()), str(output))
    process = _CONTEXT.Process(target=_child, args=given, daemon=True)
    process.start()
    return process


def _child(
    target: Callable[..., int | None],
    arguments: Any,
    environment: Mapping[str, str],
    working_folder: str,
    output: str,
) -> None:
    assert "transformers" in sys.modules, "the server has not imported tests.preloaded"
    import torch

    os.setsid()
    os.chdir(working_folder)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", "1")))
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.exit(target(*arguments))

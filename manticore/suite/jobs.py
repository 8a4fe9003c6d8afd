"""Several trainings of a suite at a time, each in a process of its own.

A small model leaves most of a GPU idle, and gains little from a second core. A process is given one
contest after the other (the trainings of which only the best counts) as a line of JSON, and answers
in lines of JSON, through a pipe that nothing else prints to. It ends when nobody reads them any
more; what it was training is resumed from its last checkpoint, as after any kill.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch

from manticore.paths import worker_environment
from manticore.suite.interrupts import SAVED, deferred_interrupt
from manticore.suite.protocol import Cell
from manticore.suite.trial import result_of
from manticore.train.devices import use_device

Said = Callable[[int, dict[str, Any]], object]
_SAY_EVERY = 0.2
"""Seconds between words about a training."""


def train_at_once(
    contests: list[list[Cell]],
    jobs: int,
    folder: Path,
    device: str,
    said: Said,
    interrupted: Callable[[], bool],
) -> None:
    """Do the trainings of all contests, `jobs` contests at a time.

    Args:
        contests: Cells of which only the best counts: none are left to do after one that reaches
            what is enough.
        jobs: Processes. On the CPU they share its cores.
        folder: Of the suite.
        device: All of them use it.
        said: Told, with a contest's number, its `cell`'s number and the step and accuracy that it
            is `at`, or its `outcome` in the end; and that a contest has `ended`.
        interrupted: Asked a few times a second.

    Raises:
        KeyboardInterrupt: `interrupted` said so; where each training stands is saved.
        ChildProcessError: A process failed; the others have saved where they stand.
    """
    waiting: queue.Queue[int] = queue.Queue()
    for number in range(len(contests)):
        waiting.put(number)
    words: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    with ExitStack() as stack:
        processes = []
        jobs = min(jobs, len(contests))
        threads_each = max(1, torch.get_num_threads() // jobs)
        for _ in range(jobs):
            log = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
            process = _Process(folder, device, threads_each, log)
            processes.append(stack.enter_context(process))
        for process in processes:
            process.start(contests, waiting, words)
        stopped = False
        while any(process.is_working() for process in processes) or not words.empty():
            with suppress(queue.Empty):
                said(*words.get(timeout=_SAY_EVERY))
            if not stopped and (interrupted() or any(process.failed for process in processes)):
                stopped = True
                for process in processes:
                    process.stop()
    failed = [process.failed for process in processes if process.failed]
    if failed:
        raise ChildProcessError(
            f"A training ended before its time (what is done is kept, and the same call goes on "
            f"from there): {failed[0]}"
        )
    if stopped:
        raise KeyboardInterrupt(SAVED)


class _Process:
    """A process that trains, as its parent sees it."""

    def __init__(self, folder: Path, device: str, threads: int, log: IO[str]) -> None:
        self._log = log
        answers, to_parent = os.pipe()
        self._answers = os.fdopen(answers, encoding="utf-8")
        with os.fdopen(to_parent):
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    __spec__.name,
                    str(folder.resolve()),
                    device,
                    str(to_parent),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[to_parent],
                text=True,
                encoding="utf-8",
                env={**worker_environment(), "OMP_NUM_THREADS": str(threads)},
                start_new_session=True,  # Ctrl-C is for the parent, which says how to stop
            )
        self._thread: threading.Thread | None = None
        self._stopped = False
        self.failed = ""

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *raised: object) -> None:
        """Nothing goes on behind a parent that leaves; after an error, not even to save."""
        with suppress(OSError):
            self._child.stdin.close()
        if raised[0] is not None:
            self._stopped = True
            self._child.kill()
        self._child.wait()
        if self._thread is not None:
            self._thread.join()
        self._answers.close()

    def stop(self) -> None:
        """Ask it to save where it stands, and to end."""
        self._stopped = True
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)

    def start(self, contests: list[list[Cell]], waiting: queue.Queue, words: queue.Queue) -> None:
        """Have contests done until there are none, in a thread of its own."""
        self._thread = threading.Thread(
            target=self._work, args=(contests, waiting, words), daemon=True
        )
        self._thread.start()

    def is_working(self) -> bool:
        """Whether it may have something to say."""
        return self._thread is not None and self._thread.is_alive()

    def _work(self, contests: list[list[Cell]], waiting: queue.Queue, words: queue.Queue) -> None:
        while not self._stopped:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            for word in self._said_of(contests[number]):
                words.put((number, word))

    def _said_of(self, cells: list[Cell]) -> Iterator[dict[str, Any]]:
        """What the process says of a contest; it has failed where that ends too early."""
        with suppress(OSError):  # it is gone, as its exit status tells
            asked = json.dumps([cell.model_dump(mode="json") for cell in cells])
            print(asked, file=self._child.stdin, flush=True)
        for line in self._answers:
            word = json.loads(line)
            if "failed" in word:
                self.failed = word["failed"]
                break
            yield word
            if "ended" in word:
                return
        status = self._child.wait()
        asked_for = self._stopped and (status >= 0 or status == -signal.SIGINT)
        if not asked_for and not self.failed:
            self._log.seek(0)
            self.failed = f"exit status {status}. {self._log.read().strip().rpartition(chr(10))[2]}"
        self._stopped = True


def main() -> None:
    """Do the contests that standard input names, one line each, until it ends."""
    folder, device = Path(sys.argv[1]), use_device(sys.argv[2])
    answers = os.fdopen(int(sys.argv[3]), "w", encoding="utf-8")

    def say(**word: Any) -> None:
        print(json.dumps(word), file=answers, flush=True)

    with deferred_interrupt() as interrupted:
        for line in sys.stdin:
            for number, fields in enumerate(json.loads(line)):
                cell, report = Cell(**fields), _now_and_then(partial(say, cell=number))
                try:
                    outcome = result_of(cell, folder, device, report, interrupted)
                except KeyboardInterrupt:
                    return
                except Exception as error:
                    say(failed=f"{type(error).__name__}: {error}")
                    raise
                say(cell=number, outcome=outcome)
                if outcome["accuracy"] >= cell.enough:
                    break
            say(ended=True)


def _now_and_then(say: Callable[..., object]) -> Callable[[int, float | None], None]:
    last = 0.0

    def report(step: int, accuracy: float | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _SAY_EVERY:
            last = time.monotonic()
            say(at=(step, accuracy))

    return report


if __name__ == "__main__":
    main()

"""A spare worker: a process that has imported what runs need, before there is a run.

A worker needs seconds to import torch and Transformers. Whoever expects to start a run makes a
spare in good time, and `launch` hands it the run's folder. From then on it is that run's worker: it
has been in a session of its own from the start, and outlives this process as any worker does.

Until then it belongs to this process. It waits for one line on its standard input, which costs no
processor time, and ends at the end of that input, however this process ends. It keeps the priority
that this process has: a lower one would be the worker's too, and cannot be raised again.
"""

import atexit
import json
import os
import subprocess
import sys
import sysconfig
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from manticore.names import PLUGINS_VARIABLE
from manticore.paths import worker_environment

REFILL_AFTER = 20.0
"""Seconds after which a spare that was taken is replaced: the run's first steps come first."""
TEXTS = "texts"
"""Argument with which a spare prepares texts as well."""
_PACKAGE = Path(__file__).resolve().parent.parent
_NOTED = {"TORCHINDUCTOR_CACHE_DIR"}
"""Variables that torch sets when it is imported, here as in the spare."""


class Spare:
    """At most one spare worker of this process; all methods may be called from any thread."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._made_in: object = None
        self._arguments: tuple[str, ...] = ()
        self._refill_after: float | None = None
        self._refill: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the spare; None if there is none."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def warm(self) -> None:
        """Make a spare, unless there is one; returns at once. A failure only costs time later."""
        with self._changing:
            # Modules of one's own are edited between two runs, and a spare would not see it.
            if self.pid or os.environ.get(PLUGINS_VARIABLE):
                return
            with suppress(OSError):
                self._made_in = _surroundings()
                self._process = start_worker_process(
                    "manticore.runs.waiting",
                    *self._arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                )

    def keep(self, refill_after: float = REFILL_AFTER, *, texts: bool = False) -> None:
        """Make a spare, and another one a while after each launch, as long as this process lives.

        Args:
            refill_after: Seconds between a launch and the next spare.
            texts: Whether a spare also tokenizes the bundled stories, once per machine. It takes
                all cores for seconds: for processes that wait for people.
        """
        self._arguments = (TEXTS,) if texts else ()
        self._refill_after = refill_after
        self.warm()

    def take(self, folder: Path, log: Path) -> subprocess.Popen[bytes] | None:
        """Make the spare the worker of a run; it may still be importing, as a new worker would.

        Args:
            folder: Folder of the run.
            log: File that the worker's output is appended to.

        Returns:
            The process; None if there is no spare, or if a new process would have another
            environment, working directory or code than the spare.
        """
        with self._changing:
            process, self._process = self._process, None
            self._refill_later()
        if process is None:
            return None
        with suppress(OSError):  # the spare has just ended, or a file or folder is gone
            if process.poll() is None and self._made_in == _surroundings():
                job = json.dumps({"folder": str(folder.absolute()), "log": str(log.absolute())})
                _input(process).write(f"{job}\n".encode())
                _input(process).close()
                return process
        _end(process)
        return None

    def dismiss(self) -> None:
        """End the spare, and make no more."""
        with self._changing:
            process, self._process = self._process, None
            self._refill_after, self._arguments = None, ()
            if self._refill is not None:
                self._refill.cancel()
        if process is not None:
            _end(process)

    def _refill_later(self) -> None:
        if self._refill_after is None:
            return
        if self._refill is not None:
            self._refill.cancel()
        self._refill = threading.Timer(self._refill_after, self.warm)
        self._refill.daemon = True
        self._refill.start()

    def let_go(self) -> None:
        """In a fork of this process: leave the spare to the original, whose end it waits for."""
        self._changing = threading.Lock()
        if self._process is not None:
            _input(self._process).close()
        self._process = self._refill_after = None


def start_worker_process(
    module: str, *arguments: str, stdin: int, stdout: int | BinaryIO
) -> subprocess.Popen[bytes]:
    """Start a module in a fresh interpreter, in a session and with the environment of a worker.

    Args:
        module: Name of the module.
        arguments: Its command line.
        stdin: Its standard input, as `subprocess.Popen` has it.
        stdout: Where its output and its errors go.

    Raises:
        OSError: The process cannot be started.
    """
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        bufsize=0,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        env=worker_environment(),
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def _surroundings() -> object:
    """All that a process started now would have from this one, and the code that it would run."""
    files = [path for path in _PACKAGE.rglob("*") if path.suffix in {".py", ".toml", ".json"}]
    # Installing and removing a package changes the folder that it is in.
    files += {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    code = {path: path.stat().st_mtime_ns for path in files}
    environment = worker_environment()
    for name in _NOTED:
        environment.pop(name, None)
    return environment, Path.cwd(), code


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    _input(process).close()


def _input(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None, "a spare is started with a pipe"
    return process.stdin


SPARE = Spare()
"""The spare worker of this process."""
atexit.register(SPARE.dismiss)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SPARE.let_go)

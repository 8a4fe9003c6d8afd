"""A run: watching, stopping and resuming it, and the hybrids that it starts from and makes."""

import logging
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import Timeout

from manticore.names import STAGES, VIEWS
from manticore.runs.launch import require_device, spawn_worker
from manticore.runs.record import RunRecord, state_message
from manticore.store.disk import writing
from manticore.store.folder import (
    CONFIG_FILE,
    STATUS_FILE,
    STOP_FILE,
    is_run_id,
    run_folder,
    runs_root,
)
from manticore.store.label import LABEL_FILE, Label, read_label, write_label
from manticore.store.layout import (
    CHECKPOINTS_FOLDER,
    HYBRID_FOLDER,
    RESULT_FOLDER,
    START_FOLDER,
)

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

log = logging.getLogger(__name__)


KILLED_WITHIN = 10.0
"""Seconds that a killed process may take to end."""


class RunError(RuntimeError):
    """Something cannot be done with a run in its state, or the run did not come to its end."""


class Run(RunRecord):
    """One background job and its folder.

    `start_run` and `get_run` make them. Any number of `Run`s, in any processes, may look at the
    same folder; only the worker writes it, except for its label, which is what `rename` writes.

    Args:
        folder: Folder of the run.

    Raises:
        FileNotFoundError: `folder` is not a run folder.
    """

    def watch(self) -> Any:
        """Show the run live, where this code runs.

        In a notebook it returns at once and the view stays live; in a terminal it returns when the
        run ends or Ctrl-C ends the watching.

        Returns:
            In a notebook the `LiveView`; otherwise whether it was watched to its end.
        """
        return VIEWS.load("notebook" if _in_notebook() else "terminal")(self)

    def wait(self, timeout: float | None = None, poll: float = 0.2) -> "Run":
        """Wait until no process is at work any more, and return the run.

        Args:
            timeout: Seconds to wait; without end if None.
            poll: Seconds between looks.

        Raises:
            TimeoutError: The run is still at work after `timeout`; it continues.
            RunError: The run failed, or its process was killed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.status).is_active:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(
                    f"Run {self.id} is still {status.state} after {timeout:g} s: wait longer, or "
                    "call stop()."
                )
            time.sleep(poll)
        if status.state in {"failed", "died"}:
            raise RunError(f"Run {self.id} {status.state}. {state_message(status)}")
        return self

    def hybrid(self) -> "ManticoreForCausalLM":
        """The run's hybrid, with its tokenizer: the finished one, or the newest checkpoint's.

        Raises:
            FileNotFoundError: The run has neither yet.
        """
        from manticore.runs.hybrids import load_hybrid

        hybrid = load_hybrid(self.folder, self.config, self.hybrid_source())
        hybrid.origin = self._origin(original=False)
        return hybrid

    def original_hybrid(self) -> "ManticoreForCausalLM":
        """The hybrid that the run started from, at the mixture weights that it has found.

        Fine-tuning starts from it (paper section 3.3): components as they were pretrained,
        projectors as they were before the search, or before the first search if this one continued
        with the hybrid of another.

        Raises:
            FileNotFoundError: The run has neither a result nor a checkpoint yet.
            KeyError: The search that it continued from is not there any more.
        """
        from manticore.hybrid import ManticoreForCausalLM

        found = self.hybrid()
        start = self._before_search() / START_FOLDER
        hybrid = ManticoreForCausalLM.from_pretrained(start, dtype="auto")
        hybrid.take_mixture(found)
        hybrid.origin = self._origin(original=True)
        return hybrid.eval()

    def _before_search(self) -> Path:
        """Folder of the run whose start no search has trained."""
        parent = self._parent()
        if parent is None or STAGES[parent.config.stage].makes == "weights":
            return self.folder
        return parent._before_search()

    def _parent(self) -> "Run | None":
        """The run whose trained hybrid this one started with.

        Raises:
            KeyError: That run is not in the same folder any more.
        """
        start = self.config.start
        if start is None or start.parent is None or start.parent.original:
            return None
        try:
            return get_run(start.parent.run, self.folder.parent)
        except KeyError as error:
            raise KeyError(
                f"Run {self.id} continued with the hybrid of run {start.parent.run}, which is not "
                f"in {self.folder.parent} any more: bring it back, or fine-tune run.hybrid() as it "
                "is."
            ) from error

    def _origin(self, original: bool) -> dict[str, Any]:
        """Where a hybrid of this run comes from, as a later run's `start` records it."""
        config = self.config.model_dump(mode="json")
        return {"parent": {"run": self.id, "original": original, "config": config}}

    def hybrid_to_finetune(self) -> "ManticoreForCausalLM":
        """The hybrid that fine-tuning starts from: a search's original one, another run's own.

        An evaluation has made none: what counts is the run whose hybrid it has measured.
        Programming trains no weights, but may have started with a hybrid that a search has trained.

        Raises:
            RunError: The run is still at work.
            FileNotFoundError: The run has neither a result nor a checkpoint yet.
            KeyError: A run before it is not there any more.
        """
        makes = STAGES[self.config.stage].makes
        if makes == "metrics" and (measured := self._parent()) is not None:
            return measured.hybrid_to_finetune()
        if makes != "metrics" and self.is_alive:
            raise RunError(
                f"Run {self.id} is still at work: wait for its end or stop it, or fine-tune "
                "run.hybrid() as it is now."
            )
        return self.original_hybrid() if makes == "mixture" else self.hybrid()

    def programming(self) -> "Run":
        """The programming run that decided the mixture weights: this one, or one before it.

        Raises:
            ValueError: There is no such run.
            KeyError: A run before this one is not there any more.
        """
        if self.config.stage == "program":
            return self
        start = self.config.start
        if start is None or start.parent is None:
            raise ValueError(
                f"Run {self.id} is a run of {self.config.stage}, and no programming came before "
                "it: give a run of `program`, or one that continued from it."
            )
        return get_run(start.parent.run, self.folder.parent).programming()

    def hybrid_source(self) -> Path:
        """The folder that `hybrid` loads now: the result, or the newest whole checkpoint.

        Raises:
            FileNotFoundError: The run has no result and no whole checkpoint yet.
        """
        # Here, because it needs torch, which takes seconds to import; watching a run does not.
        from manticore.train.checkpoints import newest_weights

        result = self.folder / RESULT_FOLDER / HYBRID_FOLDER
        if (result / "config.json").is_file():
            return result
        checkpoint = newest_weights(self.folder / CHECKPOINTS_FOLDER)
        if checkpoint is not None:
            return checkpoint
        start = self.folder / START_FOLDER
        if STAGES[self.config.stage].makes == "metrics" and (start / "config.json").is_file():
            return start
        raise self._nothing_yet("hybrid", "its first checkpoint or its end")

    def rename(self, name: str | None = None, *, note: str | None = None) -> "Run":
        """Call the run by another name, or note something about it, and return it.

        It may be at work meanwhile: its configuration stays as it is.

        Args:
            name: The name, at most 120 characters; "" for that of its configuration. None for the
                one that it has.
            note: The note, at most 2,000 characters; "" for none. None for the one that it has.

        Raises:
            ValueError: The name or the note is too long.
            DiskFullError: The disk is full.
            OSError: The run folder cannot be written.
        """
        now = read_label(self.folder)
        given = now.name if name is None else name, now.note if note is None else note
        with writing(self.folder / LABEL_FILE):
            write_label(self.folder, Label.of(*given))
        return self

    def stop(self) -> None:
        """Ask the worker to write a checkpoint and end; it does after its current step.

        `wait` waits for that. A run that is not at work stays as it is.
        """
        if self.is_alive:
            (self.folder / STOP_FILE).touch()

    def kill(self) -> None:
        """End the worker at once, without a checkpoint; `resume` continues from the last one.

        Raises:
            RunError: The run is at work on another machine, or the process belongs to another
                user, or does not end.
        """
        status = self.status
        # A run that has no worker yet is as alive as the process that made it.
        if not status.is_active or not status.process_is_alive() or status.pid == os.getpid():
            return
        if not status.is_here:
            raise RunError(
                f"Run {self.id} is at work on {status.host}: kill it there, or stop() it from here."
            )
        try:
            psutil.Process(status.pid).kill()
        except psutil.AccessDenied as error:
            raise RunError(
                f"Run {self.id} is at work for another user of this machine: stop() it."
            ) from error
        except psutil.NoSuchProcess:
            return  # it has just ended
        deadline = time.monotonic() + KILLED_WITHIN
        while status.process_is_alive():  # a large process takes a while to go
            if time.monotonic() > deadline:
                raise RunError(
                    f"The process {status.pid} of run {self.id} was killed and has not ended after "
                    f"{KILLED_WITHIN:g} s: it may be waiting for a disk; look again later."
                )
            time.sleep(0.01)

    def resume(self, at_once: int | None = None) -> "Run":
        """Start a worker that continues from the last checkpoint, and return the run.

        Args:
            at_once: Wait until fewer runs than this work, as `start_run` has it.

        Raises:
            RunError: The run is at work, or done.
            ValueError: This machine does not have the device that the run uses.
            DiskFullError: The disk is full; no worker was started.
        """
        state = self.status.state
        if self.is_alive:
            raise RunError(f"Run {self.id} is {state}: stop it and wait before you resume it.")
        if state == "done":
            raise RunError(f"Run {self.id} is done: there is nothing to resume; start a new run.")
        require_device(self.config.device)
        try:
            spawn_worker(self.folder, at_once)
        except Timeout as error:
            raise RunError(
                f"A worker of run {self.id} has not ended yet: wait, or kill() it, then resume."
            ) from error
        return self

    def delete(self) -> None:
        """Remove the run's folder and everything in it.

        Raises:
            RunError: The run is at work.
        """
        self.check_deletable()
        shutil.rmtree(self.folder)

    def check_deletable(self) -> None:
        """Refuse to delete a run that is at work.

        Raises:
            RunError: It is.
        """
        if self.is_alive:
            raise RunError(f"Run {self.id} is {self.status.state}: stop it before you delete it.")


def get_run(run_id: str, root: str | os.PathLike[str] | None = None) -> Run:
    """The run with this id.

    Args:
        run_id: Id of the run.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.

    Raises:
        ValueError: `run_id` does not have the form of an id.
        KeyError: There is no such run; the message names the newest ones.
    """
    folder = run_folder(run_id, root)
    if not (folder / CONFIG_FILE).is_file():
        newest = ", ".join(run.id for run in runs(root)[:3]) or "none yet"
        raise KeyError(
            f"There is no run {run_id!r} in {folder.parent}: choose another, such as the newest "
            f"({newest})."
        )
    return Run(folder)


def runs(root: str | os.PathLike[str] | None = None) -> list[Run]:
    """All runs, newest first. A folder that is not a whole run is skipped with a logged warning.

    Args:
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.
    """
    base = runs_root(root)
    found = []
    names = sorted((path.name for path in base.iterdir()), reverse=True) if base.is_dir() else []
    for name in names:
        # A run's folder appears with both files in it: what has neither is not a run.
        own = (base / name / file for file in (CONFIG_FILE, STATUS_FILE))
        if not is_run_id(name) or not any(file.is_file() for file in own):
            continue
        try:
            run = Run(run_folder(name, base))
            _ = run.config, run.status
        except (ValueError, OSError) as error:
            log.warning("%s is skipped, it is not a whole run: %s", base / name, error)
        else:
            found.append(run)
    return found


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")

"""Reading runs for the page: which run is shown, and what of it is new."""

import logging
import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.runs import Run, get_run, runs

from .status import run_label

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

log = logging.getLogger(__name__)

RECENT = 30
_KEPT = 64
"""Runs that pages look at by turns, as in a workshop, without each being read again from its
beginning."""


class Watcher:
    """The runs under one root, each opened once, so that a look reads only its new events."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: OrderedDict[str, Run] = OrderedDict()
        self._opening = threading.Lock()

    def find(self, run_id: str | None) -> Run | None:
        """The run of this id; None if there is none, or the id is no id (it comes from outside)."""
        if not run_id:
            return None
        try:
            run = self._open.get(run_id) or get_run(run_id, self.root)
            _ = run.status, run.config
        except (ValueError, LookupError, OSError) as error:
            log.info("no run to show: %s", error)
            self._open.pop(run_id, None)
            return None
        # Pages are answered in threads, and a slow disk is to hold up only those that wait for it.
        with self._opening:
            self._open.pop(run_id, None)
            self._open[run_id] = run
            if len(self._open) > _KEPT:
                self._open.popitem(last=False)
        return run

    def choices(self) -> list[tuple[str, str]]:
        """(label, id) of the recent runs, newest first."""
        return [(run_label(run), run.id) for run in runs(self.root)[:RECENT]]


def last_event(events: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """The last event of a kind."""
    return next((event for event in reversed(events) if event["kind"] == kind), None)


def hybrid_of(run: Run) -> "ManticoreForCausalLM":
    """The run's hybrid as of now; the last two that were asked for stay loaded.

    Raises:
        FileNotFoundError: the run has no checkpoint yet.
        OSError, ValueError: its files cannot be read.
    """
    source = run.hybrid_source()
    return _load(run.folder, source, source.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(folder: Path, _source: Path, _changed: int) -> "ManticoreForCausalLM":
    return Run(folder).hybrid()

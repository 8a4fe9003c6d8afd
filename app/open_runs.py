"""The runs that the page has open: each is read once, and then only what is new."""

import logging
import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from manticore.runs import Run, get_run, runs
from manticore.runs.gallery import is_gallery_run
from manticore.views.comparison import run_label

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

log = logging.getLogger(__name__)

RECENT = 30
"""Runs in the list."""
LOADING = threading.Lock()
"""One thread at a time: Transformers cannot be imported by two at once, and a hybrid that several
ask for is loaded once."""
_KEPT = 64
"""Runs that stay open: in a workshop many pages look at different runs in turn."""


class OpenRuns:
    """The runs under one root, each opened once, so that a look reads only its new events.

    Args:
        root: Folder of all runs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: OrderedDict[str, Run] = OrderedDict()
        self._opening = threading.Lock()

    def find(self, run_id: str | None) -> Run | None:
        """The run of an id; None if there is none.

        Args:
            run_id: What the address bar or the browser says; it is not trusted.
        """
        if not run_id:
            return None
        try:
            run = self._open.get(run_id) or get_run(run_id, self.root)
            _ = run.status, run.config
            if not run.folder.is_dir():
                raise LookupError(f"Run {run_id} was deleted.")
        except (ValueError, LookupError, OSError) as error:
            log.info("No run to show: %s", error)
            self._open.pop(run_id, None)
            return None
        # Pages are answered in threads; a slow disk must not hold up those that do not need it.
        with self._opening:
            self._open.pop(run_id, None)
            self._open[run_id] = run
            if len(self._open) > _KEPT:
                self._open.popitem(last=False)
        return run

    def first(self) -> Run | None:
        """The run that somebody sees who asks for none: the newest at work, or a bundled one."""
        known = runs(self.root)
        at_work = (run for run in known if run.is_alive)
        return next(at_work, next((run for run in known if is_gallery_run(run.id)), None))

    def choices(self) -> list[tuple[str, str]]:
        """(label, id) of the recent runs, newest first."""
        return [(run_label(run), run.id) for run in runs(self.root)[:RECENT]]


def hybrid_of(run: Run) -> "ManticoreForCausalLM":
    """The run's current hybrid; the two most recently used stay loaded.

    Raises:
        FileNotFoundError: The run has no checkpoint yet.
        OSError, ValueError: Its files cannot be read.
    """
    with LOADING:
        source = run.hybrid_source()
        return _load(run.folder, source, source.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(folder: Path, _source: Path, _changed: int) -> "ManticoreForCausalLM":
    return Run(folder).hybrid()

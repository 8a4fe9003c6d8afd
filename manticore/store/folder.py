"""Run folders on disk: where they are, and which names they may have.

A run folder holds

    config.json     the configuration (RunConfig)
    status.json     state, process and heartbeat; written by the worker
    events.jsonl    everything that happened, in order
    worker.log      the worker's own output, tracebacks included
    label.json      a name and a note that people gave it later, if they did
    start/          the hybrid the run starts from: given, or built by the first worker
    checkpoints/    what a resumed worker continues from
    result/         the finished hybrid and its metrics
"""

import os
import re
import secrets
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from manticore.store.layout import ROOT_VARIABLE, runs_root

CONFIG_FILE = "config.json"
STATUS_FILE = "status.json"
LOCK_FILE = "worker.lock"
LOG_FILE = "worker.log"
STOP_FILE = "stop.requested"

_RUN_ID = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){0,79}", re.ASCII)


def slug(text: str, max_length: int = 32) -> str:
    """A text as lower-case ASCII letters, digits and single hyphens; "" if nothing is left.

    Args:
        text: Any text.
        max_length: Most characters of the result.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:max_length].strip("-")


def new_run_id(label: str = "") -> str:
    """A fresh id: the UTC time to the millisecond, a slug of a label, eight random hex digits.

    Ids sort by time, so the newest run comes last in a listing.

    Args:
        label: Name for people.
    """
    now = datetime.now(UTC)
    stamp = f"{now:%Y%m%d-%H%M%S}{now.microsecond // 1000:03d}"
    return "-".join(part for part in (stamp, slug(label), secrets.token_hex(4)) if part)


def is_run_id(run_id: Any) -> bool:
    """Whether a value has the form of an id: a single path component on every file system.

    Args:
        run_id: Any value.
    """
    return isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) is not None


def run_folder(run_id: str, root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a run, which need not exist, guaranteed to lie directly in the runs folder.

    Args:
        run_id: Id of the run.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.

    Raises:
        ValueError: `run_id` is not an id, or its folder is a link that leads out of the runs
            folder.
    """
    base = runs_root(root)
    if not is_run_id(run_id):
        raise ValueError(
            f"{run_id!r:.100} is not a run id, which has at most 80 lower-case letters, digits and "
            f"hyphens: choose the id of one of the runs in {base}."
        )
    folder = base / run_id
    if folder.resolve() != folder:
        raise ValueError(
            f"Run {run_id!r} is a link to {folder.resolve()}, outside {base}: move the folder in, "
            f"or set {ROOT_VARIABLE} to where it is."
        )
    return folder

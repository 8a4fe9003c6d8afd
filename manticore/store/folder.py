"""Run folders on disk: where they are, and what they may be called.

A run folder holds

    config.json     what to do (RunConfig)
    status.json     how it goes: state, process, heartbeat; written by the worker
    events.jsonl    everything that happened, in order
    worker.log      the worker's own output, tracebacks included
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
    """`text` as lower-case ASCII letters, digits and single hyphens; "" if nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:max_length].strip("-")


def new_run_id(label: str = "") -> str:
    """A fresh id: the UTC time to the millisecond, a slug of `label`, eight random hex digits.

    Ids sort by time, so the newest run comes last in a listing.
    """
    now = datetime.now(UTC)
    stamp = f"{now:%Y%m%d-%H%M%S}{now.microsecond // 1000:03d}"
    return "-".join(part for part in (stamp, slug(label), secrets.token_hex(4)) if part)


def is_run_id(run_id: Any) -> bool:
    """Whether `run_id` has the form of an id: a single path component on every file system."""
    return isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) is not None


def run_folder(run_id: str, root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a run, which need not exist, guaranteed to lie directly in the runs folder.

    Raises:
        ValueError: `run_id` is not an id, or its folder is a link that leads out of the runs
            folder.
    """
    base = runs_root(root)
    if not is_run_id(run_id):
        raise ValueError(
            f"{run_id!r:.100} is not a run id: an id holds lower-case letters, digits and hyphens, "
            f"at most 80; list the runs in {base} to see theirs"
        )
    folder = base / run_id
    if folder.resolve() != folder:
        raise ValueError(
            f"run {run_id!r} is a link to {folder.resolve()}, outside {base}: move the folder in, "
            f"or point {ROOT_VARIABLE} at where it is"
        )
    return folder

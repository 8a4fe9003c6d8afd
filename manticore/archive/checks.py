"""Whether the parts of an imported run are what they say: configuration, events, metrics.

Whoever made the zip file decides what is in it, so nothing is taken that could run code, name a
file of this machine, or reach a page as markup.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from manticore.archive.reading import NotAnExportError
from manticore.config.run import RunConfig
from manticore.config.text import TextConfig
from manticore.store.events import EVENT_FIELDS, EVENTS_FILE, is_done
from manticore.store.layout import METRICS_FILE

MOST_EVENTS = 1_000_000
_DEEPEST = 12
_LATEST = 253_402_300_800
"""Seconds since the epoch, up to the last year that the calendar functions of Python know."""
_WHOLE = {"step", "total_steps", "n_blocks"}
MOST_BLOCKS = 4096
_TEXTS = {
    *("kind", "name", "task", "prompt", "text", "message", "sign", "cause", "remedy"),
    *("source", "family", "projector", "head", "components", "tokens", "best_task"),
}
"""Fields that may hold texts, which everything that shows them escapes; others hold numbers."""


def read_config(data: bytes, owner: str | None) -> RunConfig:
    """The configuration of a run that somebody exported.

    Code from the hub is not run for it, whatever it says; a recipe does not find it as its own.

    Args:
        data: Content of the file.
        owner: Name of the user who imports it.

    Raises:
        NotAnExportError: It is not the configuration of a run of this version.
    """
    try:
        values = _load(data, "run.json")
        _forbid_remote_code(values)
        config = RunConfig.model_validate(values)
        known = {key: config.data[key] for key in _text_fields() if key in config.data}
        if known:
            TextConfig.model_validate({k: v for k, v in known.items() if k != "fingerprint"})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise NotAnExportError(
            f"its configuration does not fit this version of Manticore ({where}: {first['msg']})"
        ) from error
    except RecursionError as error:
        raise NotAnExportError("its configuration is too deep") from error
    if config.n_blocks > MOST_BLOCKS:
        raise NotAnExportError(f"its configuration has {config.n_blocks} blocks")
    return config.model_copy(update={"data": known, "owner": owner, "recipe": None})


def _text_fields() -> list[str]:
    """What describes a text, wherever it is read; where its tokens are kept is this machine's."""
    return [*TextConfig.model_fields, "fingerprint"]


def _forbid_remote_code(values: Any) -> None:
    """Turn off code from the hub, in the configuration and in those of the runs before."""
    if isinstance(values, dict):
        for key, value in values.items():
            if key == "trust_remote_code":
                values[key] = False
            else:
                _forbid_remote_code(value)


def check_events(folder: Path) -> None:
    """Refuse events that are not those of a run that is done.

    Args:
        folder: Folder of the run.

    Raises:
        NotAnExportError: They are not.
    """
    events = []
    with (folder / EVENTS_FILE).open("rb") as file:
        for number, line in enumerate(file, 1):
            if number > MOST_EVENTS:
                raise NotAnExportError(f"it has more than {MOST_EVENTS:,} events")
            event = _load(line, f"line {number} of {EVENTS_FILE}")
            _check_event(event, f"line {number} of {EVENTS_FILE}")
            events.append({"kind": event["kind"]})
    if not is_done(events):
        raise NotAnExportError("its run has not come to its end")


def _check_event(event: Any, where: str) -> None:
    kind = event.get("kind") if isinstance(event, dict) else None
    if not isinstance(kind, str) or kind not in EVENT_FIELDS or EVENT_FIELDS[kind] - event.keys():
        raise NotAnExportError(f"{where} is not an event")
    if not _is_time(event.get("time")):
        raise NotAnExportError(f"{where} has no time")
    _check_values(event, where)


def check_metrics(path: Path) -> None:
    """Refuse metrics that hold anything but numbers and the names of tasks.

    Args:
        path: The file.

    Raises:
        NotAnExportError: They do.
    """
    metrics = _load(path.read_bytes(), METRICS_FILE)
    if not isinstance(metrics, dict):
        raise NotAnExportError(f"{METRICS_FILE} is not a table")
    _check_values(metrics, METRICS_FILE)


def _check_values(value: Any, where: str, field: str = "", depth: int = 0) -> None:
    """Refuse a text where a number belongs, and what is too deep to be looked at."""
    if depth > _DEEPEST:
        raise NotAnExportError(f"{where} is too deep")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_values(inner, where, key, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_values(inner, where, field, depth + 1)
    elif field in _WHOLE:
        # A boolean is an integer to Python, and not to a reader.
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
            raise NotAnExportError(f"{where} has {field}={value!r:.40}, which is not a number")
        if field == "n_blocks" and value > MOST_BLOCKS:
            raise NotAnExportError(f"{where} has {value} blocks")
    elif isinstance(value, str) and field not in _TEXTS:
        raise NotAnExportError(f"{where} has a text as {field!r:.40}")


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value < _LATEST


def _load(data: bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotAnExportError(f"{what} is not JSON") from error

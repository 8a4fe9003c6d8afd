"""The events of a run as CSV files, one for each kind that holds numbers or texts."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from manticore.store.events import last_per_step_by_task

Event = Mapping[str, Any]
Rows = Iterator[tuple[Any, ...]]


def _losses(events: Sequence[Event]) -> Rows:
    yield "step", "task", "loss", "tokens_per_s"
    for event in _of_kind(events, "step"):
        yield event["step"], _task(event), event["loss"], event.get("tokens_per_s")


def _learning_rates(events: Sequence[Event]) -> Rows:
    yield "step", "task", "group", "learning_rate"
    for event in _of_kind(events, "step"):
        for group, rate in _flat(event["lr"]):
            yield event["step"], _task(event), group, rate


def _mixtures(events: Sequence[Event]) -> Rows:
    yield "step", "task", "block", "component", "mixture_weight"
    for event in _of_kind(events, "mixture"):
        for block, row in enumerate(event["weights"], 1):
            for name, weight in zip(event["components"], row, strict=True):
                yield event["step"], _task(event), block, name, weight


def _evaluations(events: Sequence[Event]) -> Rows:
    yield "step", "task", "metric", "value"
    for event in _of_kind(events, "eval"):
        for metric, value in _flat(event["metrics"]):
            if metric != "step":
                yield event["step"], _task(event), metric, value


def _samples(events: Sequence[Event]) -> Rows:
    yield "step", "prompt", "text"
    for event in _of_kind(events, "sample"):
        yield event["step"], event["prompt"], event["text"]


def _tokens(events: Sequence[Event]) -> Rows:
    yield "step", "position", "token", "component", "mixture_weight"
    for event in _of_kind(events, "probe"):
        names = event["components"]
        told = zip(event["tokens"], event["weights"], strict=True)
        for position, (token, rows) in enumerate(told):
            for k, name in enumerate(names):
                mean = sum(row[k] for row in rows) / len(rows)
                yield event["step"], position, token, name, round(mean, 6)


def _router_fits(events: Sequence[Event]) -> Rows:
    yield "task", "measure", "value"
    for event in events:
        if event["kind"] == "fit":
            own = {name: event[name] for name in event if name not in ("time", "kind", "task")}
            yield from ((_task(event), name, value) for name, value in _flat(own))


def _warnings(events: Sequence[Event]) -> Rows:
    yield "time", "task", "message"
    for event in events:
        if event["kind"] == "warning":
            yield event["time"], _task(event), event["message"]


TABLES: dict[str, tuple[Callable[[Sequence[Event]], Rows], str]] = {
    "mixture_weights.csv": (_mixtures, "mixture weights of every block"),
    "loss.csv": (_losses, "training loss in nats per token, and tokens per second"),
    "learning_rates.csv": (_learning_rates, "learning rates of the groups of weights"),
    "evaluations.csv": (_evaluations, "everything that was measured on held-out text or tasks"),
    "samples.csv": (_samples, "texts that the hybrid wrote during the run"),
    "tokens.csv": (_tokens, "mixture weights of the tokens of a held-out text, mean over blocks"),
    "router_fit.csv": (_router_fits, "how well the router was fitted before the first step"),
    "warnings.csv": (_warnings, "warnings of the run"),
}
"""What makes the rows of each file, header first, and what the file holds."""


def tables_of(events: Sequence[Event]) -> dict[str, str]:
    """The CSV files of a run by their names; those without rows are left out.

    Args:
        events: All events of the run, oldest first.
    """
    written = {name: list(rows(events)) for name, (rows, _) in TABLES.items()}
    return {name: _csv(rows) for name, rows in written.items() if len(rows) > 1}


def _of_kind(events: Sequence[Event], kind: str) -> Iterator[Event]:
    """The events of a kind; those that were repeated after a resume count once."""
    for own in last_per_step_by_task(events, kind).values():
        yield from own


def _task(event: Event) -> str:
    return event.get("task") or ""


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values within nested tables and lists, with their paths."""
    if isinstance(value, Mapping):
        parts: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list):
        parts = enumerate(value, 1)
    else:
        yield name, value
        return
    for key, part in parts:
        yield from _flat(part, f"{name}.{key}" if name else str(key))


def _csv(rows: Iterable[tuple[Any, ...]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()

"""Timing of alternatives side by side in one process, and the record of what was measured.

A speed is only worth comparing under the same conditions, so the alternatives take turns: one call
of each, again and again. What disturbs one of them disturbs its neighbour in the same round, and
the ratio is the median of the rounds' ratios.
"""

import gc
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from manticore.store.files import write_json

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "numba", "numpy")
MOST_FURTHER_RATES = 3
"""How far a grid of learning rates goes on beyond its ends, rate by rate."""


@dataclass(frozen=True)
class Timing:
    """One alternative's seconds per call, and how many times faster than the baseline it is.

    Attributes:
        name: what was timed.
        median_s, fastest_s: seconds per call over the rounds.
        rounds: calls that were timed.
        speedup: median over the rounds of baseline seconds by own seconds; 1 for the baseline.
    """

    name: str
    median_s: float
    fastest_s: float
    rounds: int
    speedup: float


def time_side_by_side(
    alternatives: dict[str, Callable[[], object]], rounds: int, warm_up: int = 1, inner: int = 1
) -> list[Timing]:
    """Time callables in turns; the first one is the baseline of the ratios.

    Args:
        alternatives: name to callable.
        rounds: timed turns of each.
        warm_up: turns before those, not timed.
        inner: calls per turn, for callables too short to time alone.

    Raises:
        ValueError: nothing to time, or fewer than one round or call.
    """
    if not alternatives or rounds < 1 or inner < 1:
        raise ValueError(
            f"Timing needs an alternative, a round and a call; got {len(alternatives)} "
            f"alternatives, rounds={rounds}, inner={inner}."
        )
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    for turn in range(warm_up + rounds):
        for name, call in alternatives.items():
            gc.collect()
            start = time.perf_counter()
            for _ in range(inner):
                call()
            if turn >= warm_up:
                seconds[name].append((time.perf_counter() - start) / inner)
    baseline = seconds[next(iter(alternatives))]
    return [
        Timing(
            name=name,
            median_s=statistics.median(own),
            fastest_s=min(own),
            rounds=rounds,
            speedup=statistics.median(b / o for b, o in zip(baseline, own, strict=True)),
        )
        for name, own in seconds.items()
    ]


def _cpu_model() -> str:
    """The processor's own name where the system tells it (Linux), else what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def describe_machine() -> dict[str, object]:
    """What a measurement depends on: processor, cores, threads, load, versions, GPU."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": versions,
    }


def print_timings(title: str, timings: list[Timing]) -> None:
    """A table of one comparison, on the terminal."""
    table = Table("", "median", "fastest", "times faster", title=title, title_justify="left")
    for timing in timings:
        table.add_row(
            timing.name,
            f"{timing.median_s * 1e3:.2f} ms",
            f"{timing.fastest_s * 1e3:.2f} ms",
            f"{timing.speedup:.1f}",
        )
    Console().print(table)


def as_record(timings: list[Timing]) -> list[dict[str, object]]:
    """Timings as plain values, rounded to four significant digits."""

    def rounded(value: object) -> object:
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return [{key: rounded(value) for key, value in asdict(t).items()} for t in timings]


class Cells:
    """What a long benchmark has measured so far, one cell after the other.

    It lies in `results/NAME.unfinished.json`, so that an interrupted benchmark goes on with it, on
    this machine or another; cells of another setup are measured anew.

    Args:
        name: Of the benchmark.
        setup: All that decides what a cell is, but for its own name.
    """

    def __init__(self, name: str, setup: dict[str, object]) -> None:
        self.path = RESULTS / f"{name}.unfinished.json"
        self.setup = json.loads(json.dumps(setup))
        RESULTS.mkdir(exist_ok=True)

    def measure(self, cell: str, measure: Callable[[], Any]) -> Any:
        """The values of a cell, from the file if it is there; what JSON makes of them."""
        if cell not in self._known()["cells"]:
            values = measure()
            known = self._known()
            known["cells"][cell] = values
            known["processors"] = sorted({*known["processors"], _cpu_model()})
            write_json(self.path, known, allow_nan=True)
            print(cell, values, flush=True)
        return self._known()["cells"][cell]

    def at_rates(
        self, cell: str, rates: Iterable[float], measure: Callable[[float], float]
    ) -> dict[float, float]:
        """A cell for every learning rate: its value, from the least rate to the greatest.

        The least value is the best. Where it is at an end of the grid, the grid goes on there, rate
        by rate: else the end would have chosen, not the model.
        """

        def at(rate: float) -> float:
            return self.measure(f"{cell} {rate:g}", partial(measure, rate))

        tried = {rate: at(rate) for rate in rates}
        for _ in range(MOST_FURTHER_RATES):
            best = min(tried, key=tried.get)
            if best not in (min(tried), max(tried)):
                break
            further = best / 2 if best == min(tried) else best * 2
            tried[further] = at(further)
        return dict(sorted(tried.items()))

    @property
    def processors(self) -> list[str]:
        """What the cells were measured on."""
        return self._known()["processors"]

    def forget(self) -> None:
        """Remove the file of cells, when the table is saved."""
        self.path.unlink(missing_ok=True)

    def _known(self) -> dict[str, Any]:
        if self.path.exists():
            known = json.loads(self.path.read_text())
            if known["setup"] == self.setup:
                return known
        return {"setup": self.setup, "processors": [], "cells": {}}


def save_results(name: str, measured: dict[str, object]) -> Path:
    """Write `results/NAME.json`: the time, the machine, and what was measured.

    On the terminal it says on which machine, and on what (`measured["setup"]`: data, seeds, ...).
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    machine = describe_machine()
    record = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine}
    path.write_text(json.dumps(record | measured, indent=2) + "\n")
    console = Console(highlight=False)
    for title, values in (("machine", machine), ("setup", measured.get("setup", {}))):
        console.print(f"[bold]{title}[/]")
        for key, value in values.items():
            console.print(f"  {key}: {value}", markup=False)
    return path

"""Timing of alternatives side by side in one process, and records of what was measured.

A speed is only worth comparing under the same conditions, so the alternatives take turns: one call
of each, again and again. What disturbs one of them disturbs its neighbor in the same round, and
the ratio is the median of the rounds' ratios.
"""

import gc
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console
from rich.table import Table

from manticore.data.cache import digest
from manticore.suite.grid import Grid

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "numba", "numpy")
MOST_FURTHER_RATES = 3
"""How many rates a grid of learning rates is extended by, where its end is best."""


@dataclass(frozen=True)
class Timing:
    """One alternative's seconds per call, and how many times faster than the baseline it is.

    Attributes:
        name: Name of the alternative.
        median_s: Median of the seconds per call over the rounds.
        fastest_s: Smallest number of seconds per call over the rounds.
        rounds: Number of rounds.
        speedup: Median over the rounds of the baseline's seconds divided by its own seconds; 1 for
            the baseline.
    """

    name: str
    median_s: float
    fastest_s: float
    rounds: int
    speedup: float


def time_side_by_side(
    alternatives: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 1,
    inner: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Time callables in turns; the first one is the baseline of the ratios.

    Args:
        alternatives: Callables by name.
        rounds: Number of timed turns of each.
        warm_up: Number of turns before those, which are not timed.
        inner: Number of calls per turn, for callables too short to time alone.
        clock: What reads the seconds: `time.process_time`, the processor's time, leaves out what a
            busy machine does for others in between, and also what a call waits for.

    Raises:
        ValueError: Nothing to time, or fewer than one round or call.
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
            start = clock()
            for _ in range(inner):
                call()
            if turn >= warm_up:
                seconds[name].append((clock() - start) / inner)
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
    """The processor's name as the system knows it (Linux), otherwise as Python does."""
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
    """Print a table of one comparison."""
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


class Trials:
    """What a long benchmark has measured so far, one trial after the other.

    It is kept in `results/NAME.unfinished.jsonl`, so that an interrupted benchmark continues with
    it, on this machine or another; trials of a different setup are measured again. Use it as a
    context manager.

    Args:
        name: Name of the benchmark.
        setup: Everything that decides the trials, except for their own names.
    """

    def __init__(self, name: str, setup: Mapping[str, Any]) -> None:
        self._grid = Grid(
            RESULTS / f"{name}.unfinished.jsonl", ("value", "processor"), allow_nan=True
        )
        self._setup = dict(setup)
        self._processors: set[str] = set()

    def __enter__(self) -> Self:
        self._grid.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._grid.__exit__(*raised)

    def measure(self, trial: str, measure: Callable[[], Any]) -> Any:
        """The value of a trial, from the file if it is there, as JSON has it."""
        id_ = digest({"setup": self._setup, "trial": trial})
        result = self._grid.results.get(id_)
        if result is None:
            value = measure()
            print(trial, value, flush=True)
            line = {"id": id_, "trial": trial, "value": value, "processor": _cpu_model()}
            result = self._grid.add(line)
        self._processors.add(result["processor"])
        return result["value"]

    def at_rates(
        self, trial: str, rates: Iterable[float], measure: Callable[[float], float]
    ) -> dict[float, float]:
        """A trial for every learning rate: its value, from the smallest rate to the largest.

        The smallest value is the best. Where it is at an end of the grid, the grid is extended
        there, rate by rate: otherwise its end would have chosen, and not the model.
        """

        def at(rate: float) -> float:
            return self.measure(f"{trial} {rate:g}", partial(measure, rate))

        tried = {rate: at(rate) for rate in rates}
        for _ in range(MOST_FURTHER_RATES):
            best = best_of(tried)
            if best not in (min(tried), max(tried)):
                break
            further = best / 2 if best == min(tried) else best * 2
            tried[further] = at(further)
        return dict(sorted(tried.items()))

    @property
    def processors(self) -> list[str]:
        """Processors that the trials were measured on."""
        return sorted(self._processors)

    def forget(self) -> None:
        """Remove the file of trials, once the table is saved."""
        self._grid.forget()


def best_of(tried: Mapping[float, float]) -> float:
    """The learning rate with the smallest value."""
    return min(tried, key=lambda rate: tried[rate])


def save_results(name: str, measured: Mapping[str, Any]) -> Path:
    """Write `results/NAME.json`: the time, the machine, and what was measured.

    Machine and setup (`measured["setup"]`: data, seeds, ...) are printed as well.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    machine = describe_machine()
    record = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine}
    path.write_text(json.dumps({**record, **measured}, indent=2) + "\n")
    console = Console(highlight=False)
    for title, values in (("machine", machine), ("setup", measured.get("setup", {}))):
        console.print(f"[bold]{title}[/]")
        for key, value in values.items():
            console.print(f"  {key}: {value}", markup=False)
    return path

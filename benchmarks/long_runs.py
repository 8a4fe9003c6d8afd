"""How long does the page look at a run of 100,000 steps, and at a folder of 1,000 runs?

A bundled run is made longer: its events are repeated until they are 100,000 steps and 50 MB, and
copies of its folder are made. Measured: what one look at the run takes, at first, when something is
new, and when nothing is; and what the list of runs takes, at first and again. Medians, in seconds.

    python -m benchmarks.long_runs
"""

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from app.open_runs import OpenRuns
from app.run_panel import picture_of
from app.runs_tab import matching
from benchmarks.harness import save_results
from manticore.runs.gallery import open_gallery
from manticore.store.events import EVENTS_FILE
from manticore.store.thinned import MOST

ENTRY, STEPS, BYTES, RUNS, ROUNDS = "english-and-spanish", 100_000, 50_000_000, 1_000, 9


def main() -> None:
    """Measure, print and save."""
    with tempfile.TemporaryDirectory() as root:
        found = _of_a_long_run(Path(root)) | _of_many_runs(Path(root))
    for name, value in found.items():
        print(f"{name:45} {value}")
    setup = {"steps": STEPS, "bytes": BYTES, "runs": RUNS, "rounds": ROUNDS}
    print(save_results("long_runs", {"setup": setup, "found": found}))


def _of_a_long_run(root: Path) -> dict[str, float]:
    run = open_gallery(ENTRY, root)
    events = run.folder / EVENTS_FILE
    _lengthen(events)
    before = psutil.Process().memory_info().rss
    opened = OpenRuns(root).find(run.id)
    assert opened is not None
    found = {"first look, s": _seconds(lambda: picture_of(opened))}
    found["memory of its events, MiB"] = (psutil.Process().memory_info().rss - before) / 2**20
    picture = picture_of(opened)
    found["a look with nothing new, s"] = _median(lambda: picture_of(opened, picture))
    new, step = [], STEPS
    for _ in range(ROUNDS):
        with events.open("a") as file:
            for _ in range(10):
                step += 1
                file.write(json.dumps(_step(step)) + "\n")
        new.append(_seconds(lambda: picture_of(opened, picture)))
    found["a look with ten new steps, s"] = statistics.median(new)
    return {name: float(f"{value:.3g}") for name, value in found.items()}


def _step(step: int) -> dict[str, object]:
    rates = {"components": 1e-4, "projectors": 1e-3, "mixture": 3e-2}
    return {
        "kind": "step",
        "time": 1.7e9 + step,
        "step": step,
        "loss": 2 + 1 / step,
        "lr": rates,
        "tokens_per_s": 1000.0,
        "eta_s": 5.0,
    }


def _lengthen(path: Path) -> None:
    """Steps, mixture weights at every tenth, and probes of the text as often as 50 MB hold."""
    own = [json.loads(line) for line in path.read_text().splitlines()]
    start = [event for event in own if event["kind"] == "stage"]
    rare = [event for event in own if event["kind"] in MOST.keys() - {"step"}]
    once = [event for event in own if event["kind"] not in {*MOST, "stage", "done"}]
    lines = [json.dumps(event) for event in (*start, *once)]
    lines += [json.dumps(_step(step)) for step in range(1, STEPS + 1)]
    size, every = sum(map(len, lines)), 0
    while size < BYTES:
        event = {**rare[every % len(rare)]}
        if "step" in event:
            event["step"] = 1 + every % STEPS
        lines.insert(len(start) + 1 + every * 7 % STEPS, json.dumps(event))
        size += len(lines[len(start) + 1 + every * 7 % STEPS])
        every += 1
    path.write_text("\n".join(lines) + "\n")


def _of_many_runs(root: Path) -> dict[str, float]:
    run = open_gallery(ENTRY, root / "many")
    for number in range(RUNS - 1):
        copy = run.folder.with_name(f"20260101-{number:09d}-copy-{number:08x}")
        shutil.copytree(run.folder, copy, ignore=shutil.ignore_patterns("checkpoints", "result"))
    opened = OpenRuns(root / "many")
    found = {
        "list of runs, at first, s": _seconds(lambda: matching(opened, "")),
        "list of runs, s": _median(lambda: matching(opened, "")),
        "list of runs with a word that none has, s": _median(lambda: matching(opened, "zebra")),
        "choices of the page, s": _median(opened.choices),
    }
    return {name: float(f"{value:.3g}") for name, value in found.items()}


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _median(call: Callable[[], object]) -> float:
    return statistics.median(_seconds(call) for _ in range(ROUNDS))


if __name__ == "__main__":
    main()

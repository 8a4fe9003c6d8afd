"""How near is what the page says of a run before it is started to what the run takes?

Real runs of a few steps, each in a worker of its own on one core, next to what
`manticore.train.estimate` says of them with its own constants: peak memory of the worker, seconds
of a step and of the whole run. Seconds are the processor's: what else the machine does is left out.

    python -m benchmarks.estimates
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import save_results
from manticore.components.examination import examine
from manticore.runs import Run, RunConfig, start_run
from manticore.store.events import last_per_step
from manticore.train.estimate import estimate

NEOX, MAMBA, NEO = "zoo:tales-neox", "zoo:novelas-mamba", "zoo:tales-neo"
TINY = ("scratch:gpt_neo?layers=2&width=64", "scratch:mamba?layers=2&width=64")
SEARCH = {"steps": 10, "eval_every": 10, "eval_batches": 4, "batch_size": 4}
TASKS = {"in-context-recall": 1.0, "memorization": 0.5}
LONG = {"source": "bundled:stories-mixed", "seq_len": 256}
RUNS: dict[str, dict[str, Any]] = {
    "two components, routed": {
        "components": (NEOX, MAMBA),
        "options": {**SEARCH, "strategy": "routed", "router": {"fit_sequences": 96}},
    },
    "four components": {
        "components": (NEOX, MAMBA, NEO, "zoo:tales-mamba"),
        "options": {**SEARCH, "steps": 5},
    },
    "two components, 16 x 256 tokens": {
        "components": (NEOX, MAMBA),
        "options": {**SEARCH, "batch_size": 16, "steps": 4, "eval_batches": 1},
        "data": LONG,
    },
    "two tiny components, two tasks": {
        "components": TINY,
        "stage": "program",
        "options": {"tasks": TASKS, "steps": 20, "eval_every": 10, "checkpoint_every": 10},
        "n_blocks": 2,
        "data": {},
    },
}


def main() -> None:
    """Run, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="name of one run, which is then printed and not saved")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as root:
        rows = [
            _measured(name, told, Path(root)) for name, told in RUNS.items() if only in (None, name)
        ]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if only is None:
        setup = {"runs": RUNS, "threads": 1, "seeds": [0]}
        print(save_results("estimates", {"setup": setup, "rows": rows}))


def _measured(name: str, told: dict[str, Any], root: Path) -> dict[str, Any]:
    """A run, and what was said of it."""
    data = {"source": "bundled:stories-mixed", "seq_len": 128}
    config = RunConfig.model_validate({"n_blocks": 4, "data": data, "device": "cpu", **told})
    said = estimate(config, [examine(source).facts for source in config.components])
    run = start_run(config, root=root, launch=False)
    began = time.time()
    peak, processor_s = _work(run.folder)
    step_s = _step_s(run) * processor_s / (time.time() - began)
    row = {
        "run": name,
        "memory_gb": round(peak / 1e9, 2),
        "memory_said_gb": round(said.memory.total / 1e9, 2),
        "step_s": float(f"{step_s:.2g}"),
        "step_said_s": float(f"{said.step_s:.2g}"),
        "run_s": round(processor_s),
        "run_said_s": round(said.run_s),
    }
    print(row, flush=True)
    return row


def _work(folder: Path) -> tuple[int, float]:
    """Do a run on one core: most bytes that its worker had in memory, and its processor time."""
    command = [sys.executable, "-m", "manticore.runs.worker", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, stderr=log, env=environment)
    _, status, used = os.wait4(worker.pid, 0)
    worker.returncode = os.waitstatus_to_exitcode(status)
    if worker.returncode:
        raise RuntimeError(f"The run failed: {(folder / 'worker.log').read_text()[-2000:]}")
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, used.ru_utime + used.ru_stime


def _step_s(run: Run) -> float:
    """Seconds from one step to the next, the median: most have no evaluation between them."""
    times = [event["time"] for event in last_per_step(run.events(), "step")]
    return statistics.median(b - a for a, b in pairwise(times))


if __name__ == "__main__":
    main()

"""How long a person at a laptop waits: for a search, and for programming by two tasks.

Both with their own defaults, from nothing to the finished hybrid. Whatever else the machine does
slows them. The bar for programming is three minutes on two cores.

    python -m benchmarks.workshop
"""

import argparse
import tempfile
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

import manticore as mc
from benchmarks.harness import save_results
from manticore.runs import Run

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
TASKS = {"in-context-recall": 1.0, "memorization": 0.5}
TEXT, SEQ_LEN, N_BLOCKS, STEPS, TASK_STEPS = "bundled:stories-mixed", 128, 4, 200, 100


def main() -> None:
    """Time both, print and save."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as root:
        rows = [
            _timed("search", lambda: _search(root)),
            _timed("programming, two tasks", lambda: _program(root)),
        ]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    setup = {"components": PAIR, "n_blocks": N_BLOCKS, "text": TEXT, "seq_len": SEQ_LEN}
    setup |= {"steps": STEPS, "tasks": TASKS, "steps_of_each_task": TASK_STEPS, "seeds": [0]}
    print(save_results("workshop", {"setup": setup, "rows": rows}))


def _timed(name: str, start: Callable[[], Run]) -> dict[str, object]:
    """Seconds to the first mixture weights and to the end, building the hybrid included."""
    began = time.time()
    run = start().wait()
    first = next(event["time"] for event in run.events() if event["kind"] == "mixture")
    whole = time.time() - began
    return {"what": name, "first_mixture_s": round(first - began, 1), "whole_s": round(whole, 1)}


def _search(root: str) -> Run:
    hybrid = mc.build_hybrid(list(PAIR), N_BLOCKS)
    data = mc.load_text(TEXT, tokenizer=hybrid.tokenizer, seq_len=SEQ_LEN)
    return mc.search(hybrid, data, steps=STEPS, root=root)


def _program(root: str) -> Run:
    return mc.program(mc.build_hybrid(list(PAIR), N_BLOCKS), TASKS, TASK_STEPS, root=root)


if __name__ == "__main__":
    main()

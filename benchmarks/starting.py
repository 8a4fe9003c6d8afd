"""How long until something moves: the first step of a run, the first picture of the demonstration.

The first step after the click on Start on the page, with its defaults, and the first words in the
color of their component in `manticore demo`: with a new worker, which must import everything, and
with a spare one, which has done so, and for the page has tokenized the bundled stories. Medians, in
seconds, with an empty cache. Whatever else the machine does slows both. The bars on two quiet
cores: 8 s and 15 s.

    python -m benchmarks.starting
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import gradio as gr
import psutil
from rich.console import Console
from rich.table import Table

import manticore as mc
from app import search_tab
from app.components import Components
from app.known import Known
from app.looks import Looks
from app.open_runs import OpenRuns
from app.page import Page
from app.texts import Texts
from benchmarks.harness import save_results
from manticore.runs import Run, RunConfig, runs_root, start_run
from manticore.runs.spare import SPARE

STRATEGIES, WORKERS = ("routed", "darts"), ("new", "spare")
DEMO = "from manticore.cli import app; app(['demo', '--runs-root', sys.argv[1]])"
WITHOUT_SPARE = "from manticore.runs.spare import Spare; Spare.warm = lambda self: None"


def main() -> None:
    """Measure both, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement")
    repeats = parser.parse_args().repeats
    started = [_first_step(name, worker, repeats) for name in STRATEGIES for worker in WORKERS]
    pictures = [_first_picture(worker, repeats) for worker in WORKERS]
    measured = {"first_step": started, "first_picture": pictures}
    for rows in measured.values():
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console().print(table)
    setup = {"page": _page_config(STRATEGIES[0]).model_dump(mode="json"), "repeats": repeats}
    print(save_results("starting", {"setup": setup, **measured}))


@contextmanager
def _new_visitor() -> Iterator[Path]:
    """A folder of runs, and a token cache that is empty; the runs end afterwards."""
    with tempfile.TemporaryDirectory() as root:
        os.environ["MANTICORE_CACHE"] = f"{root}/cache"
        try:
            yield Path(root) / "runs"
        finally:
            del os.environ["MANTICORE_CACHE"]
            for run in mc.runs(Path(root) / "runs"):
                run.kill()


def _first_step(strategy: str, worker: str, repeats: int) -> dict[str, Any]:
    """Seconds from what a click on Start does, with the page's defaults, to the run's events."""
    config = _page_config(strategy)
    mixtures, steps = [], []
    for _ in range(repeats):
        with _new_visitor() as root:
            if worker == "spare":
                _warm()
            began = time.time()
            run = start_run(config, root=root)
            mixtures.append(_when(run, "mixture") - began)
            steps.append(_when(run, "step") - began)
    row = {"what": strategy, "worker": worker, "first_mixture_s": round(median(mixtures), 1)}
    return {**row, "first_step_s": round(median(steps), 1), "each_s": [round(s, 1) for s in steps]}


def _page_config(strategy: str) -> RunConfig:
    """The run that the page's form describes when only the strategy is chosen."""
    texts, components = Texts(), Components()
    with gr.Blocks():
        page = Page(
            runs=OpenRuns(runs_root()),
            shown=gr.Dropdown(),
            asking=gr.State(),
            texts=texts,
            components=components,
            known=Known(components),
            users=None,
            at_once=1,
            tab_of=str,
            takes_runs=False,
            looks=Looks(""),
        )
        form = search_tab.lay_out(gr.Button(render=False), gr.HTML(render=False), page)
    values = {name: field.value for name, field in vars(form).items()}
    return search_tab.config_from(texts, **{**values, "strategy": strategy})


def _warm() -> None:
    """Make a spare worker as the page does, and wait until it is ready."""
    SPARE.keep(refill_after=3600, texts=True)
    assert SPARE.pid is not None
    spare, spent = psutil.Process(SPARE.pid), -1.0
    while spent != (spent := spare.cpu_times().user):
        time.sleep(1)


def _when(run: Run, kind: str) -> float:
    """When the first event of a kind came, in seconds since the epoch."""
    while run.is_alive:
        for event in run.events():
            if event["kind"] == kind:
                return event["time"]
        time.sleep(0.05)
    raise RuntimeError(f"{run} ended without an event {kind}.")


def _first_picture(worker: str, repeats: int) -> dict[str, Any]:
    """Seconds from the command to the mixture weights of words, which it shows in color."""
    code = ["import sys", *([WITHOUT_SPARE] if worker == "new" else []), DEMO]
    seconds = []
    for _ in range(repeats):
        with _new_visitor() as root:
            began = time.time()
            command = [sys.executable, "-c", "\n".join(code), str(root)]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as demo:
                while not (found := mc.runs(root)):
                    assert demo.poll() is None, "the demonstration ended without a run"
                    time.sleep(0.05)
                seconds.append(_when(found[0], "probe") - began)
                demo.kill()
    row = {"what": "demo", "worker": worker, "first_picture_s": round(median(seconds), 1)}
    return {**row, "each_s": [round(s, 1) for s in seconds]}


if __name__ == "__main__":
    main()

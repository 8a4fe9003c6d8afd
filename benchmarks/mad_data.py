"""How much faster are the vectorized MAD tasks than one example at a time?

The training data of each task at its published baseline, made by `manticore.tasks` and by the
straightforward reference (`benchmarks.mad_reference`), side by side in one process.

    python -m benchmarks.mad_data
"""

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks import mad_reference
from benchmarks.harness import as_record, print_timings, save_results, time_side_by_side
from manticore.tasks import TASKS, Setting, find_task
from manticore.tasks.drawing import Arrays, Draw

BAR = 30


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    measured, below = {}, []
    for name in TASKS:
        setting = Setting(task=name)
        ways = {"one at a time": mad_reference.generate, "vectorized": find_task(name).generate}
        timings = time_side_by_side(
            {way: _call(generate, setting) for way, generate in ways.items()}, rounds
        )
        print_timings(f"{name}, {setting.train_examples} examples", timings)
        measured[name] = {"setting": setting.model_dump(), "timings": as_record(timings)}
        if timings[-1].speedup < BAR:
            below.append(name)
    print(save_results("mad_data", {"setup": {"bar": BAR, "seed": 0}, "tasks": measured}))
    if below:
        raise SystemExit(f"Less than {BAR} times faster: {', '.join(below)}.")


def _call(generate: Callable[[Setting, Draw], Arrays], setting: Setting) -> Callable[[], Arrays]:
    def call() -> Arrays:
        stream, shared = np.random.SeedSequence(0).spawn(2)
        draw = Draw(setting.train_examples, "train", np.random.default_rng(stream), shared)
        return generate(setting, draw)

    return call


if __name__ == "__main__":
    main()

"""On MAD tasks, is a hybrid trained from scratch better than its components and than known stacks?

The protocol is that of the preset (`manticore.suite.protocol`) except for the options given here.
An interrupted benchmark continues after the trainings that are done, which are kept next to the
table: remove results/mad_suite to measure everything again. Tasks can be measured one by one: the
table of each call is added to those of other tasks and protocols. The mean is over the tasks and
seeds that the hybrid and its rivals have in common, and says how each task was trained; if a task
is in two tables, the one measured last counts.

    python -m benchmarks.mad_suite --preset baseline --task in-context-recall --seeds 3
    python -m benchmarks.mad_suite --preset paper --task memorization --model mamba --epochs 20
"""

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console

import manticore as mc
from benchmarks.harness import RESULTS, save_results
from manticore.cli.suites import suite_table
from manticore.config.setting import preset_settings
from manticore.names import TASKS
from manticore.suite.progress import Progress
from manticore.suite.protocol import DEFAULT_MODELS, PROTOCOLS, Regime
from manticore.suite.scores import Suite

COMPARED = ("gpt_neo", "mamba", "gpt_neo+mamba", "mambaformer")
FOLDER = RESULTS / "mad_suite"
"""The trainings that are done, for tables that take longer than a machine is at hand."""


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=tuple(PROTOCOLS), default="baseline")
    parser.add_argument("--task", choices=tuple(TASKS), action="append", help="repeat it")
    parser.add_argument("--model", action="append", help="repeat it")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--epochs", type=int, help="the preset's if not given")
    parser.add_argument("--learning-rate", type=float, action="append", help="repeat it")
    parser.add_argument("--weight-decay", type=float, action="append", help="repeat it")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--note", help="what else a reader of the table must know")
    parser.add_argument("--jobs", type=int, default=1, help="models trained at a time")
    given = parser.parse_args()
    changes = {
        "epochs": given.epochs,
        "learning_rates": given.learning_rate,
        "weight_decays": given.weight_decay,
    }
    found = mc.mad_suite(
        given.preset,
        given.model or DEFAULT_MODELS,
        given.task,
        seeds=range(given.seeds),
        folder=FOLDER,
        device=given.device,
        jobs=given.jobs,
        report=_print,
        dtype=given.dtype,
        **{name: value for name, value in changes.items() if value is not None},
    )
    rows = found.rows()
    chance = found.chance()
    Console().print(suite_table(rows, chance))
    setup = _setup(given, found) | {"guessing": chance}
    setup |= {"note": given.note} if given.note else {}
    table = {"setup": setup, "rows": rows, "trainings": _by_model(found)}
    name = f"mad_suite-{given.preset}"
    tables = joined(json.loads(json.dumps(table)), RESULTS / f"{name}.json")
    compared = compared_tables(tables)
    over_all = {
        "trained": {task: _protocol(table) for task, table in compared.items()},
        "rows": mean_rows(compared),
    }
    Console().print(over_all)
    print(
        save_results(name, {"setup": {"preset": given.preset}, "tables": tables, "mean": over_all})
    )


def joined(table: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The tables that were measured before, and this one, which takes in one of its kind."""
    earlier = json.loads(path.read_text())["tables"] if path.exists() else []
    kind, kept = _kind(table), []
    for old in earlier:
        if _kind(old) != kind:
            kept.append(old)
            continue
        measured = {row["model"] for row in table["rows"]}
        table["rows"] += [row for row in old["rows"] if row["model"] not in measured]
        table["trainings"] = old["trainings"] | table["trainings"]
    _count(table)
    return [*kept, table]


def _count(table: dict[str, Any]) -> None:
    """Say in its setup what all of the table's trainings took."""
    done = [training for own in table["trainings"].values() for training in own]
    hours = round(sum(training["seconds"] for training in done) / 3600, 2)
    devices = sorted({training["device"] for training in done})
    table["setup"] |= {"trainings": len(done), "hours": hours, "devices": devices}


def _protocol(table: dict[str, Any]) -> dict[str, Any]:
    """What a call may change in how a table's trainings are done."""
    return {name: table["setup"][name] for name in ("epochs", "learning_rates", "weight_decays")}


def _kind(table: dict[str, Any]) -> str:
    """What tells a table from another: tasks, seeds and protocol, not models, and what it took."""
    varies = ("trainings", "devices", "hours", "left_out", "guessing", "note")
    kept = {name: value for name, value in table["setup"].items() if name not in varies}
    return json.dumps(kept, sort_keys=True)


def compared_tables(tables: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By task, the last table that has all models that are compared."""
    whole = [t for t in tables if {*COMPARED} <= {row["model"] for row in t["rows"]}]
    return {task: table for table in whole for task in table["setup"]["tasks"]}


def mean_rows(by_task: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores over tasks, of the models and seeds that the tables of all of them have."""
    by_model: dict[str, list[dict[str, float]]] = {}
    for task, table in by_task.items():
        for row in table["rows"]:
            by_model.setdefault(row["model"], []).append(row["tasks"][task]["by_seed"])
    rows = []
    for model, scores in by_model.items():
        shared = set.intersection(*({*by_seed} for by_seed in scores))
        if len(scores) < len(by_task) or not shared:
            continue
        means = [mean(by_seed[seed] for by_seed in scores) for seed in sorted(shared)]
        row = {"model": model, "tasks": len(scores), "seeds": len(means), "score": mean(means)}
        rows.append(row | {"spread": stdev(means) if len(means) > 1 else None})
    return rows


def _setup(given: argparse.Namespace, found: Suite) -> dict[str, Any]:
    """What was run, as the trainings themselves say it."""
    trials = [outcome["trial"] for outcome in found.outcomes]
    tasks = list(dict.fromkeys(trial.setting.task for trial in trials))
    return {
        "preset": given.preset,
        "tasks": tasks,
        "left_out": sorted(
            {setting.task for setting in preset_settings(given.preset)} - set(tasks)
        ),
        "settings": [
            setting.model_dump(exclude_none=True)
            for setting in dict.fromkeys(trial.setting for trial in trials)
        ],
        "seeds": sorted({trial.seed for trial in trials}),
        "learning_rates": given.learning_rate or PROTOCOLS[given.preset].learning_rates,
        "weight_decays": given.weight_decay or PROTOCOLS[given.preset].weight_decays,
        **trials[0].model_dump(include=set(Regime.model_fields)),
    }


def _by_model(found: Suite) -> dict[str, list[dict[str, Any]]]:
    """Each training's outcome, with the mixture weights of hybrids."""
    kept = ("accuracy", "step", "mixture_weights", "diverged", "seconds", "device")
    by_model: dict[str, list[dict[str, Any]]] = {}
    for outcome in found.outcomes:
        trial = outcome["trial"]
        grid = {
            "task": trial.setting.task,
            "seed": trial.seed,
            "learning_rate": trial.learning_rate,
            "weight_decay": trial.weight_decay,
        }
        by_model.setdefault(trial.model, []).append(grid | {name: outcome[name] for name in kept})
    return by_model


def _print(progress: Progress) -> None:
    if progress.step == progress.trial.steps:
        trial = progress.trial
        print(
            f"{progress.finished}/{progress.total} ({progress.share:.0%}) seed {trial.seed} "
            f"{trial.setting.task} {trial.model} {trial.learning_rate:g} {trial.weight_decay:g}: "
            f"{progress.accuracy:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

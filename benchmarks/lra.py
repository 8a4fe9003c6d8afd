"""On Long Range Arena, is a hybrid trained from scratch better than its components, as large as it?

The protocol is the preset's (`manticore.suite.protocol`), but for the options given here. Rates are
chosen on examples of their own. An interrupted benchmark continues after the trainings that are
done, which are kept next to the table: remove results/lra to measure everything again.

    python -m benchmarks.lra --jobs 2
    python -m benchmarks.lra --preset paper --device cuda
"""

import argparse
from statistics import mean, stdev
from typing import Any

from rich.console import Console

import manticore as mc
from benchmarks.harness import RESULTS, save_results
from manticore.cli.suites import suite_table
from manticore.config.setting import LONG_RANGE_PRESETS
from manticore.names import LONG_RANGE_TASKS
from manticore.suite.lra import PUBLISHED_SCORES
from manticore.suite.progress import Progress
from manticore.suite.protocol import Regime
from manticore.suite.scores import Suite

FOLDER = RESULTS / "lra"
"""The trainings that are done."""
HYBRID, COMPONENTS = "gpt_neo+mamba", ("gpt_neo", "mamba")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=tuple(LONG_RANGE_PRESETS), default="quick")
    parser.add_argument("--task", choices=tuple(LONG_RANGE_TASKS), action="append")
    parser.add_argument("--model", action="append", help="repeat it")
    parser.add_argument("--data", help="stand-in, published, or a folder")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--steps", type=int, help="the preset's if not given")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="models trained at a time")
    given = parser.parse_args()
    steps = {} if given.steps is None else {"least_steps": given.steps, "most_steps": given.steps}
    found = mc.lra_suite(
        given.preset,
        given.model,
        given.task,
        data=given.data,
        seeds=range(given.seeds),
        folder=FOLDER,
        device=given.device,
        jobs=given.jobs,
        report=_print,
        **steps,
    )
    rows, chance = found.rows(), found.chance()
    Console().print(suite_table(rows, chance))
    compared = against_components(rows)
    Console().print(compared)
    if given.task or given.model or given.steps or given.data:
        print("What is not the preset as a whole is not saved as its table.")
        return
    table = {
        "setup": _setup(found, given.preset) | {"chance": chance},
        "rows": rows,
        "hybrid_against_components": compared,
        "published": PUBLISHED_SCORES,
        "trainings": _by_model(found),
    }
    print(save_results(f"lra-{given.preset}", table))


def against_components(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How much the hybrid is above its better component: by task, and in the mean over tasks.

    Args:
        rows: Scores of the models, from `Suite.rows`.

    Returns:
        For each task, and for their `mean`, the `better` component by its mean over seeds, the mean
        `difference` over seeds of the hybrid's score and the component's, and its `spread`.
    """
    own = {row["model"]: row for row in rows}
    if not {HYBRID, *COMPONENTS} <= own.keys():
        return {}
    columns = {task: {m: own[m]["tasks"][task] for m in own} for task in own[HYBRID]["tasks"]}
    columns["mean"] = {m: own[m]["mean"] for m in own}
    compared = {}
    for name, scores in columns.items():
        better = max(COMPONENTS, key=lambda component, scores=scores: scores[component]["score"])
        differences = [
            score - scores[better]["by_seed"][seed]
            for seed, score in scores[HYBRID]["by_seed"].items()
        ]
        spread = stdev(differences) if len(differences) > 1 else None
        compared[name] = {"better": better, "difference": mean(differences), "spread": spread}
    return compared


def _setup(found: Suite, preset: str) -> dict[str, Any]:
    """What was run, as the trainings themselves say it."""
    trials = [outcome["trial"] for outcome in found.outcomes]
    by_task = {
        trial.setting.task: trial.model_dump(include=set(Regime.model_fields), exclude_none=True)
        | {"steps": trial.steps, "setting": trial.setting.model_dump(exclude_none=True)}
        for trial in trials
    }
    return {
        "preset": preset,
        "seeds": sorted({trial.seed for trial in trials}),
        "learning_rates": sorted({trial.learning_rate for trial in trials}),
        "weight_decays": sorted({trial.weight_decay for trial in trials}),
        "tasks": by_task,
        "trainings": len(trials),
        "hours": round(sum(outcome["seconds"] for outcome in found.outcomes) / 3600, 2),
        "devices": sorted({outcome["device"] for outcome in found.outcomes}),
    }


def _by_model(found: Suite) -> dict[str, list[dict[str, Any]]]:
    """Each training's outcome, with the mixture weights of hybrids."""
    kept = ("accuracy", "test_accuracy", "parameters", "mixture_weights", "diverged", "seconds")
    by_model: dict[str, list[dict[str, Any]]] = {}
    for outcome in found.outcomes:
        trial = outcome["trial"]
        grid = {"task": trial.setting.task, "seed": trial.seed, "rate": trial.learning_rate}
        by_model.setdefault(trial.model, []).append(grid | {name: outcome[name] for name in kept})
    return by_model


def _print(progress: Progress) -> None:
    # Another process's last step is known before what was measured after it.
    if progress.step == progress.trial.steps and progress.accuracy is not None:
        trial = progress.trial
        print(
            f"{progress.finished}/{progress.total} ({progress.share:.0%}) seed {trial.seed} "
            f"{trial.setting.task} {trial.model} {trial.learning_rate:g}: {progress.accuracy:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

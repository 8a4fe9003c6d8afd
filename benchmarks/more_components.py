"""What is each further component of a hybrid worth, and what does it cost?

Hybrids of the first one to four of four bundled components, on two texts that the components know
to different parts: passages of English, Spanish and code, of which each of the first three knows
one and the fourth none that was not known already; and stories in English and Spanish, which the
first two know, and the others do not add to. For each:

- static mixture weights, searched by DARTS while everything learns; for one component this is
  fine-tuning, also for as many steps as the compute of two, three and four components allows;
- a router, fitted to what the components know alone, and no step of training;
- the routed hybrid after half of the steps, where everything learns.

The rate of the components is the best of a grid for each of them, tried with another seed and half
of the steps, on the first part of the held-out text, and the grid is extended where its end is
best; perplexity is measured on the rest. FLOPs of a training, and the seconds of a pass over a
sequence, as a visitor of the trained hybrid waits for it, are measured for each in turns.

    python -m benchmarks.more_components stories-mixed
    python -m benchmarks.more_components prose-and-code --folder FOLDER

FOLDER has tales_en.valid.txt and novels_es.valid.txt. If it is interrupted, the benchmark continues
with the trainings that are done.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

import manticore as mc
from benchmarks.harness import Trials, best_of, save_results
from benchmarks.routing_rivals import N_BLOCKS, costs_of_steps
from benchmarks.routing_texts import CACHE, Target, open_target
from manticore.config.search import RouterConfig
from manticore.evaluate import perplexity

ORDER = {
    "stories-mixed": ("tales-neox", "novelas-mamba", "stdlib-llama", "tales-mamba"),
    "prose-and-code": ("stdlib-llama", "tales-neox", "novelas-mamba", "tales-mamba"),
}
"""Components by text, the one that is best alone or most needed first."""
STEPS, ROUTED_STEPS = 100, 50
ROUTER, HEAD = {"threshold": 0.3, "window": 4}, "mixture"
RATES = {"static": (5e-4, 1e-3, 2e-3), "routed": (2e-4, 5e-4)}
CHOOSING_SEED, SEEDS = 100, (0, 1, 2)
RUNS = CACHE / "more_components"
"""The trainings, until the table is complete."""


def main() -> None:
    """Choose, measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", choices=ORDER, nargs="?", default=next(iter(ORDER)))
    parser.add_argument("--folder", type=Path, help="folder of the texts that are not bundled")
    given = parser.parse_args()
    target = open_target(given.text, given.folder)
    order = tuple(f"zoo:{name}" for name in ORDER[given.text])
    setup: dict[str, Any] = {
        "text": given.text,
        "components": order,
        "seq_len": target.data.seq_len,
        "training_tokens": target.data.n_tokens,
        "batch_size": target.batch_size,
        "n_blocks": N_BLOCKS,
        "steps": STEPS,
        "routed_steps": ROUTED_STEPS,
        "router": ROUTER,
        "rates": RATES,
        "seeds": SEEDS,
        "choosing_seed": CHOOSING_SEED,
    }
    name = f"more_components-{given.text}"
    with Trials(name, setup) as trials:
        rows: list[dict[str, Any]] = []
        for n in range(1, len(order) + 1):
            rows += Hybrids(trials, replace(target, components=order[:n])).rows()
        _print(given.text, rows)
        setup["processors"] = trials.processors
        print(save_results(name, {"setup": setup, "rows": rows}))
        trials.forget()
    shutil.rmtree(RUNS / given.text, ignore_errors=True)


class Hybrids:
    """The hybrids of some components.

    Args:
        trials: What is measured already.
        target: The text, with these components.
    """

    def __init__(self, trials: Trials, target: Target) -> None:
        self.trials, self.target = trials, target
        self.n_components = len(target.components)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each way to mix and number of steps."""
        ways = [("static", STEPS)]
        if self.n_components == 1:
            ways += [("static", STEPS * n) for n in (2, 3, 4)]
        else:
            ways += [("routed", 0), ("routed", ROUTED_STEPS)]
        found = {way: self._by_seed(*way) for way in ways}
        label = f"{self.n_components} costs"
        costs = self.trials.measure(label, self._costs)
        return [
            {
                "components": self.n_components,
                "mixture weights": kind,
                "steps": steps,
                "perplexity": round(mean(values), 3),
                "spread": round(stdev(values), 3),
                "training_pflops": float(f"{self._flops(costs, kind, steps) / 1e15:.3g}"),
                "pass_ms": round(1e3 * costs[f"score {kind}"]["seconds"] / self.target.batch_size),
                "by_seed": values,
            }
            for (kind, steps), values in found.items()
        ]

    def _by_seed(self, kind: str, steps: int) -> list[float]:
        label = f"{self.n_components} {kind}"
        rate = None
        if steps:
            most = ROUTED_STEPS if kind == "routed" else STEPS
            tried = self.trials.at_rates(
                f"{label} at",
                RATES[kind],
                lambda rate: self._score(
                    self._trained(kind, CHOOSING_SEED, most // 2, rate), self.target.tuning
                ),
            )
            rate = best_of(tried)

        def measure(seed: int) -> float:
            return self._score(self._trained(kind, seed, steps, rate), self.target.test)

        return [
            self.trials.measure(f"{label} {steps} steps {seed}", lambda seed=seed: measure(seed))
            for seed in SEEDS
        ]

    def _trained(self, kind: str, seed: int, steps: int, rate: float | None) -> Any:
        """A hybrid, trained now or before."""
        options: dict[str, Any] = {"steps": steps, "batch_size": self.target.batch_size}
        options |= {"eval_every": max(1, steps), "eval_batches": 1, "sample_prompt": ""}
        if rate is not None:
            options["component_lr"] = rate
        if self.n_components == 1:
            stages, head = {"finetune": options}, "mixed"
        elif kind == "static":
            stages, head = {"search": options | {"strategy": "darts"}}, "mixed"
        else:
            stages = {"search": options | {"strategy": "routed", "router": ROUTER}}
            head = HEAD
        recipe = mc.Recipe(
            components=self.target.components,
            n_blocks=N_BLOCKS,
            head=head,
            seed=seed,
            data=self.target.options,
            stages=stages,
        )
        (run,) = mc.run_recipe(recipe, root=RUNS / self.target.name)
        return run.hybrid().eval()

    def _score(self, hybrid: Any, text: Any) -> float:
        return round(perplexity(hybrid, text, batch_size=16), 4)

    def _costs(self) -> dict[str, dict[str, float]]:
        """FLOPs and seconds of a step and of a pass of a batch, by model."""
        routed = None
        if self.n_components > 1:
            routed = self._trained("routed", SEEDS[0], 0, None)
        return costs_of_steps(self.target, routed)

    def _flops(self, costs: dict[str, dict[str, float]], kind: str, steps: int) -> float:
        """Of a training, with the fit of a router."""
        flops = costs[kind]["flops"] * steps
        if kind == "routed":
            size = self.target.batch_size
            n = min(RouterConfig().fit_sequences, len(self.target.data.train))
            flops += sum(costs[f"score {name}"]["flops"] for name in self.target.names) * n / size
        return flops


def _print(text: str, rows: list[dict[str, Any]]) -> None:
    columns = [name for name in rows[0] if name != "by_seed"]
    table = Table(*columns, title=text)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()

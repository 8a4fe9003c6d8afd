"""Does a hybrid whose mixture weights follow the text beat everything else that its parts can do?

Everyone is trained on the same text, at the best learning rate of a grid that was tried on a seed
of its own; a first part of the held-out text chooses rates and weights, the other is what is
measured. Rows:

- the routed hybrid: its router fitted and no step of training, and after 50 and after 200 steps;
- the hybrid with mixture weights that are the same for all tokens, searched by DARTS;
- each component after as many steps, and after twice as many, about the compute of the hybrid;
- the ensemble of the trained components: the best weighted sum of their logits or probabilities;
- the router over the outputs: the same router, fitted to the trained components, mixes their
  probabilities, without any hybrid;
- the fitted hybrid with one-hot mixture weights by the component that knows each paragraph or story
  best, which no router can know at its first words.

On `prose` also what few trained parameters can do: the routed hybrid with frozen components, and
the better component with LoRA adapters of as many parameters; and the routed hybrid of one block,
in which components meet at embedding and head alone.

    python -m benchmarks.routing stories-mixed
    python -m benchmarks.routing prose --folder FOLDER
    python -m benchmarks.routing prose-and-code --folder FOLDER
    python -m benchmarks.routing wikitext2 --folder FOLDER

FOLDER has tales_en.valid.txt and novels_es.valid.txt, whose passages are put in any order, or
wikitext2.valid.txt, which is trained on, and wikitext2.test.txt. If it is interrupted, the
benchmark continues with the trainings that are done.
"""

import argparse
import shutil
from functools import partial
from math import ceil, exp
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import manticore as mc
from benchmarks.harness import Trials, best_of, save_results
from benchmarks.routing_rivals import N_BLOCKS, Oracle, Outputs, best_weights, costs_of_steps
from benchmarks.routing_texts import CACHE, TEXTS, Target, open_target
from manticore.config.search import RouterConfig
from manticore.evaluate import perplexity
from manticore.hybrid import ManticoreForCausalLM
from manticore.hybrid.lora import lora_targets
from manticore.hybrid.mixture import simplex_grid
from manticore.hybrid.routing import RouterSettings
from manticore.search.router_fit import fit_router

STEPS, FEW_STEPS = 200, 50
ROUTER = {"threshold": 0.3, "window": 4}
HEAD = "mixture"
HYBRID_RATES = {"routed": (1e-4, 2e-4, 5e-4), "static": (1e-3, 2e-3, 4e-3)}
COMPONENT_RATES = (2e-3, 4e-3, 8e-3)
RIVAL_RATES = {
    "frozen": (1e-3, 2e-3, 4e-3),
    "lora": (1e-3, 2e-3, 4e-3),
    "joined": (1e-4, 2e-4, 5e-4),
}
"""Of the projectors, of the adapters, and of the components of the hybrid of one block."""
TUNING_STEPS, TUNING_SEED, SEEDS, ENSEMBLE_POINTS = 100, 100, (0, 1, 2), 11
RUNS = CACHE / "routing"
"""The trainings, until the table is complete."""


def main() -> None:
    """Tune, measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", choices=TEXTS, nargs="?", default=TEXTS[0])
    parser.add_argument("--folder", type=Path, help="folder of the texts that are not bundled")
    given = parser.parse_args()
    target = open_target(given.text, given.folder)
    name = f"routing-{target.name}"
    with Trials(name, _setup(target)) as trials:
        print(save_results(name, _measure(Contest(target, trials))))
        trials.forget()
    shutil.rmtree(RUNS / target.name, ignore_errors=True)


def _setup(target: Target) -> dict[str, Any]:
    floor = target.data.floor
    setup = {
        "text": f"bundled:{target.name}" if floor is not None else target.name,
        "seq_len": target.data.seq_len,
        "batch_size": target.batch_size,
        "n_blocks": N_BLOCKS,
        "head": HEAD,
        "router": ROUTER,
        "steps": STEPS,
        "tuning_steps": TUNING_STEPS,
        "tuning_seed": TUNING_SEED,
        "seeds": SEEDS,
        "test_sequences": len(target.test),
    }
    return setup | ({} if floor is None else {"floor": round(exp(float(floor)), 4)})


class Contest:
    """Everybody that is compared on a text.

    Args:
        target: The text.
        trials: What is measured already.
    """

    def __init__(self, target: Target, trials: Trials) -> None:
        self.target, self.trials = target, trials
        grids = HYBRID_RATES | dict.fromkeys(target.names, COMPONENT_RATES)
        self.tuned = {name: self._tune(name, grid) for name, grid in grids.items()}
        self.better = min(target.names, key=lambda name: min(self.tuned[name].values()))
        if target.rivals:
            self.tuned |= {name: self._tune(name, grid) for name, grid in RIVAL_RATES.items()}
        self.rates = {name: best_of(tried) for name, tried in self.tuned.items()}

    def _tune(self, name: str, rates: tuple[float, ...]) -> dict[float, float]:
        def after(rate: float) -> float:
            return _score(self.trained(name, TUNING_SEED, TUNING_STEPS, rate), self.target.tuning)

        return self.trials.at_rates(f"tuning {name}", rates, after)

    def one_seed(self, seed: int) -> dict[str, float]:
        """Test perplexities of everything."""
        found: dict[str, float] = {}
        for steps in (0, FEW_STEPS, STEPS):
            routed = partial(self._hybrid, "routed", seed, steps)
            found |= self.trials.measure(f"seed {seed} routed {steps}", routed)
        static = partial(self._hybrid, "static", seed, STEPS)
        found |= self.trials.measure(f"seed {seed} static", static)
        few = (FEW_STEPS,) if self.target.rivals else ()
        for steps in (*few, STEPS, 2 * STEPS):
            components = partial(self._components, seed, steps)
            found |= self.trials.measure(f"seed {seed} components {steps}", components)
        for name in RIVAL_RATES if self.target.rivals else ():
            rival = partial(self._hybrid, name, seed, STEPS)
            found |= self.trials.measure(f"seed {seed} {name}", rival)
        return {name: value for name, value in found.items() if not name.endswith(" s")}

    def trained(
        self, name: str, seed: int, steps: int, rate: float | None = None
    ) -> ManticoreForCausalLM:
        """A model, trained now or before."""
        rate = self.rates[name] if rate is None else rate
        options: dict[str, Any] = {"steps": steps, "batch_size": self.target.batch_size}
        options |= {"component_lr": rate, "eval_every": max(1, steps), "eval_batches": 1}
        options |= {"sample_prompt": ""}
        routed = {"strategy": "routed", "router": ROUTER}
        components, n_blocks, head = self.target.components, N_BLOCKS, HEAD
        if name in self.target.names or name == "lora":
            own = self.better if name == "lora" else name
            components, head = (components[self.target.names.index(own)],), "mixed"
            if name == "lora":
                rank = self.lora_rank()
                options["lora"] = {"rank": rank, "alpha": 2 * rank}
            stages = {"finetune": options}
        elif name == "static":
            head, stages = "mixed", {"search": options | {"strategy": "darts"}}
        elif name == "frozen":
            frozen = {"component_lr": 0.0, "projector_lr": rate}
            stages = {"search": options | routed | frozen}
        else:
            n_blocks, stages = 1 if name == "joined" else N_BLOCKS, {"search": options | routed}
        data, parts = self.target.options, {"components": components, "n_blocks": n_blocks}
        recipe = mc.Recipe(**parts, head=head, seed=seed, data=data, stages=stages)
        return mc.run_recipe(recipe, root=RUNS / self.target.name)[-1].hybrid().eval()

    def lora_rank(self) -> int:
        """The smallest rank with as many trained parameters as projectors and router have."""
        hybrid = mc.build_hybrid(list(self.target.components), N_BLOCKS)
        hybrid.add_router(RouterSettings(RouterConfig(**ROUTER).width))
        own = [*hybrid.projectors.parameters(), *hybrid.mixture.parameters()]
        better = self.target.components[self.target.names.index(self.better)]
        single = mc.build_hybrid([better], N_BLOCKS)
        adapted = (single.get_submodule(path).weight.shape for path in lora_targets(single))
        return ceil(sum(p.numel() for p in own) / sum(map(sum, adapted)))

    def _hybrid(self, name: str, seed: int, steps: int) -> dict[str, float]:
        model = self.trained(name, seed, steps)
        label = {
            "frozen": "routed hybrid, components frozen",
            "lora": f"{self.better}, LoRA",
            "joined": "routed hybrid of one block",
        }.get(name, f"{name} hybrid")
        found = {f"{label}, {steps} steps": _score(model, self.target.test)}
        if steps == 0:
            found["hybrid, language known"] = _score(Oracle(model), self.target.test)
        return found

    def _components(self, seed: int, steps: int) -> dict[str, float]:
        models = {name: self.trained(name, seed, steps) for name in self.target.names}
        found = {f"{n}, {steps} steps": _score(m, self.target.test) for n, m in models.items()}
        if steps > STEPS:
            return found
        mixed = self._outputs(list(models.values()), seed)
        if steps < STEPS:
            mixed = {f"{name}, {steps} steps": value for name, value in mixed.items()}
        return found | mixed

    def _outputs(self, models: list[ManticoreForCausalLM], seed: int) -> dict[str, float]:
        """What can be done with the outputs of the trained components alone."""
        target = self.target
        whole = mc.build_hybrid(list(target.components), N_BLOCKS)
        for own, model in zip(whole.components, models, strict=True):
            own.load_state_dict(model.components[0].state_dict())
        found = {}
        points = [tuple(point) for point in simplex_grid(len(models), ENSEMBLE_POINTS).tolist()]
        for kind, probabilities in (("logits", False), ("probabilities", True)):
            best = best_weights(whole, target.tuning, points, probabilities)
            found[f"ensemble of {kind}"] = _score(Outputs(whole, best, probabilities), target.test)
        options = RouterConfig(**ROUTER)
        whole.add_router(RouterSettings(options.width, threshold=options.threshold))
        train = target.data.train
        n = min(options.fit_sequences, len(train))
        rows = [train[i * len(train) // n]["input_ids"] for i in range(n)]
        fit_router(whole, torch.stack(rows), options, seed)
        found["router over the outputs"] = _score(Outputs(whole, None, True), target.test)
        return found

    def costs(self) -> dict[str, dict[str, float]]:
        """FLOPs and seconds of each training, on one machine and in turns."""
        fitted = self.trained("routed", SEEDS[0], 0)
        step = costs_of_steps(self.target, fitted)
        batches = RouterConfig(**ROUTER).fit_sequences / self.target.batch_size
        batches = min(batches, len(self.target.data.train) / self.target.batch_size)
        names = self.target.names

        def total(parts: dict[str, float]) -> dict[str, float]:
            """The sum of steps, of each kind so many."""
            sums = {k: sum(step[n][k] * m for n, m in parts.items()) for k in ("flops", "seconds")}
            pflops = float(f"{sums['flops'] / 1e15:.3g}")
            return {"training_pflops": pflops, "training_s": round(sums["seconds"])}

        fit = {f"score {name}": batches for name in names}
        found = {
            f"routed hybrid, {steps} steps": total(fit | {"routed": steps})
            for steps in (0, FEW_STEPS, STEPS)
        }
        found[f"static hybrid, {STEPS} steps"] = total({"static": STEPS})
        for steps in (FEW_STEPS, STEPS, 2 * STEPS):
            found |= {f"{name}, {steps} steps": total({name: steps}) for name in names}
        for steps, suffix in ((FEW_STEPS, f", {FEW_STEPS} steps"), (STEPS, "")):
            both = dict.fromkeys(names, steps)
            for kind in ("logits", "probabilities"):
                found[f"ensemble of {kind}{suffix}"] = total(both)
            found[f"router over the outputs{suffix}"] = total(both | fit)
        found["hybrid, language known"] = total(fit)
        return found


def _measure(contest: Contest) -> dict[str, Any]:
    """The record of everything that is measured; its table is printed."""
    seeds = [contest.one_seed(seed) for seed in SEEDS]
    costs = contest.costs()
    rows = [
        {
            "name": name,
            "perplexity": round(mean(seed[name] for seed in seeds), 4),
            "spread": round(stdev(seed[name] for seed in seeds), 4),
            "by_seed": [round(seed[name], 4) for seed in seeds],
            **costs.get(name, {}),
        }
        for name in seeds[0]
    ]
    columns = ("name", "perplexity", "spread", "training_pflops", "training_s")
    table = Table(*columns, title=contest.target.name)
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console().print(table)
    setup = _setup(contest.target) | {"rates": contest.rates}
    setup |= {"lora_rank": contest.lora_rank()} if contest.target.rivals else {}
    setup |= {"training_tokens": contest.target.data.n_tokens}
    setup |= {"processors": contest.trials.processors}
    return {"setup": setup, "rows": rows, "tuning": contest.tuned}


def _score(model: Any, dataset: Any) -> float:
    return round(perplexity(model, dataset, batch_size=16), 4)


if __name__ == "__main__":
    main()

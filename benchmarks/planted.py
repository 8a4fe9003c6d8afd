"""Do search strategies find mixture weights that are known to be best?

A bundled component is copied twice, and in every block one of the two copies, drawn at random, is
damaged. A hybrid of the two whose rows pick the whole copy everywhere *is* the component, whatever
its projectors hold, so the best loss is known. Components are frozen: what is measured is how well
mixture weights are found, not how well damage can be trained away.

Two settings: `frozen` (no projectors: mixture weights alone learn) and `learning` (linear projectors
that start as the identity and learn along, so that they can patch what damaged blocks do to mixed
rows). Every strategy gets the same budget in forward passes, a backward pass counting as two, and
its learning rate from a grid, on seeds of their own.

    python -m benchmarks.planted
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.harness import save_results
from manticore.components.loading import Component, load_component
from manticore.data import TextData, load_text
from manticore.evaluate import mean_loss
from manticore.hybrid import ManticoreForCausalLM, build_hybrid
from manticore.search import SearchConfig
from manticore.search.held_out import hold_out
from manticore.search.strategies import STRATEGIES
from manticore.train.events import EventWriter
from manticore.train.groups import parameter_groups
from manticore.train.loop import Loop, LoopOptions

COMPONENT = "zoo:tales-neox"
TEXT = "bundled:stories-en?n_stories=2000"
SEQ_LEN, BATCH_SIZE, EVAL_BATCHES = 64, 4, 32
BUDGET = 240
"""Forward passes of one search."""
DAMAGES = ("noise", "reset", "silent")
PROJECTORS = {"frozen": "identity", "learning": "linear"}
TUNING_SEEDS, SEEDS = (100, 101), (0, 1, 2, 3, 4)
RATES = {
    "darts": (0.03, 0.1, 0.3, 1.0),
    "darts-bilevel": (0.03, 0.1, 0.3, 1.0),
    "darts-bilevel, 2nd order": (0.03, 0.1, 0.3, 1.0),
    "gaea": (0.3, 1.0, 3.0, 10.0),
    "dash": (0.03, 0.1, 0.3, 1.0),
    "probe": (None,),
    "random": (None,),
    "fixed": (None,),
}


@dataclass(frozen=True)
class Outcome:
    """One search: held-out losses above the best possible, in nats per token, and rows right.

    Attributes:
        regret: Of the mixture weights as found.
        regret_of_picks: Of the component with the greatest weight in each block, alone.
        right: Share of blocks whose greatest weight is on the whole copy.
    """

    regret: float
    regret_of_picks: float
    right: float


def main() -> None:
    """Tune, measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(RATES), default=list(RATES))
    names = parser.parse_args().only
    component = load_component(COMPONENT)
    data = load_text(TEXT, tokenizer=component.tokenizer, seq_len=SEQ_LEN)
    rows = []
    for setting in PROJECTORS:
        for name in names:
            rate = _tuned(component, data, setting, name)
            outcomes = [
                _search(component, data, setting, name, rate, damage, seed)
                for damage in DAMAGES
                for seed in SEEDS
            ]
            rows.append(_summary(setting, name, rate, outcomes))
            print(rows[-1], flush=True)
    _print(rows)
    best = mean_loss(component.model, data.valid, batch_size=8, max_batches=EVAL_BATCHES)
    setup = {"component": COMPONENT, "text": TEXT, "budget": BUDGET, "damages": DAMAGES}
    setup |= {"seeds": SEEDS, "tuning_seeds": TUNING_SEEDS, "best_loss": best}
    print(save_results("planted", {"setup": setup, "rows": rows}))


def damaged(component: Component, layers: list[int], damage: str, seed: int) -> Component:
    """A copy of a component in which some layers are damaged.

    Args:
        component: Stays as it is.
        layers: Indices of the layers.
        damage: `noise` (as much noise as weight on every matrix), `reset` (new random weights) or
            `silent` (the layer adds nothing).
        seed: Of the noise.
    """
    copy = load_component(component.source)
    generator = torch.Generator().manual_seed(seed)
    runner = copy.runner
    stack = getattr(runner.backbone, runner.spec.layers)
    with torch.no_grad():
        for index in layers:
            for name, weight in stack[index].named_parameters():
                if weight.ndim < 2:
                    continue
                noise = torch.randn(weight.shape, generator=generator)
                if damage == "noise":
                    weight.add_(noise * weight.std())
                elif damage == "reset":
                    weight.copy_(noise * 0.02)
                elif name.endswith(("attention.dense.weight", "dense_4h_to_h.weight")):
                    weight.zero_()
            if damage == "silent":
                for module in stack[index].modules():
                    if isinstance(module, nn.Linear) and not module.weight.any():
                        module.bias.zero_()
    return replace(copy, name=f"copy-{seed}")


def plant(
    component: Component, setting: str, damage: str, seed: int
) -> tuple[ManticoreForCausalLM, torch.Tensor]:
    """A hybrid of two damaged copies, and the mixture weights that are best, (N, K)."""
    generator = torch.Generator().manual_seed(seed)
    depth = component.runner.depth
    broken = torch.randint(2, (depth,), generator=generator)  # which copy, block by block
    copies = [
        damaged(component, (broken == k).nonzero().flatten().tolist(), damage, 1000 * seed + k)
        for k in range(2)
    ]
    hybrid = build_hybrid(copies, depth, projector=PROJECTORS[setting], projector_init="identity")
    # Copies speak one language: what one hands on, the other must take in as it is.
    hybrid.config.scales = [[1.0, 1.0] for _ in range(depth + 1)]
    return hybrid, torch.nn.functional.one_hot(1 - broken, 2).float()


def _options(name: str, rate: float | None, setting: str) -> SearchConfig:
    """A strategy's options within the budget."""
    strategy, _, order = name.partition(",")
    trains = setting == "learning"
    extra, per_step = {}, 3.0
    if strategy == "darts-bilevel":
        per_step = 15.0 if order else 6.0
        extra["second_order"] = bool(order)
    elif strategy == "probe":
        # A round measures every row's two corners and where it stands.
        n_trials = 2 * 6 + 1
        extra["probe_every"] = 5 if trains else 1
        per_step = n_trials / extra["probe_every"] + (3.0 if trains else 1.0)
    elif strategy in ("random", "fixed"):
        per_step = 3.0 if trains else 1.0
    if strategy == "random":
        extra["candidates"] = BUDGET // 2
    budget = BUDGET / 2 if strategy == "random" else BUDGET
    if rate is not None:
        extra["mixture_lr"] = rate
    return SearchConfig(
        strategy=strategy,
        steps=max(1, int(budget / per_step)),
        batch_size=BATCH_SIZE,
        component_lr=0,
        projector_lr=1e-3 if trains else 0,
        warmup_steps=2,
        **extra,
    )


def _search(
    component: Component,
    data: TextData,
    setting: str,
    name: str,
    rate: float | None,
    damage: str,
    seed: int,
) -> Outcome:
    hybrid, best = plant(component, setting, damage, seed)
    options = _options(name, rate, setting)
    strategy = STRATEGIES[options.strategy](options, seed)
    strategy.begin(hybrid)
    # Held out for everybody, so that all weights learn from the same text.
    text, held_out = hold_out(data.train, 0.1, seed, BATCH_SIZE)
    with tempfile.TemporaryDirectory() as folder, EventWriter(folder) as events:
        loop = Loop(
            hybrid,
            parameter_groups(hybrid, options, strategy.shared_parameters()),
            text,
            LoopOptions(
                steps=options.steps,
                batch_size=BATCH_SIZE,
                warmup_steps=options.warmup_steps,
                max_grad_norm=1.0,
                watch_every=options.steps,
                checkpoint_every=options.steps,
                seed=seed,
                cpu=True,
            ),
            Path(folder),
            events,
            strategy,
            held_out,
        )
        loop.run(lambda step: None, lambda step: None, lambda: False)
        strategy.finish()
    return _judge(hybrid, data, best)


def _judge(hybrid: ManticoreForCausalLM, data: TextData, best: torch.Tensor) -> Outcome:
    hybrid.eval()
    alpha = hybrid.mixture_weights
    picks = torch.nn.functional.one_hot(alpha.argmax(dim=1), 2).float()
    losses = []
    for weights in (best, alpha, picks):
        hybrid.set_mixture_weights(weights)
        losses.append(mean_loss(hybrid, data.valid, batch_size=8, max_batches=EVAL_BATCHES))
    right = (picks == best).all(dim=1).float().mean().item()
    return Outcome(losses[1] - losses[0], losses[2] - losses[0], right)


def _tuned(component: Component, data: TextData, setting: str, name: str) -> float | None:
    """The learning rate of the least mean regret on the tuning seeds."""
    rates = RATES[name]
    if len(rates) == 1:
        return rates[0]
    regrets = {
        rate: mean(
            _search(component, data, setting, name, rate, damage, seed).regret
            for damage in DAMAGES
            for seed in TUNING_SEEDS
        )
        for rate in rates
    }
    return min(regrets, key=regrets.get)


def _summary(
    setting: str, name: str, rate: float | None, outcomes: list[Outcome]
) -> dict[str, object]:
    by_seed = [mean(o.regret for o in outcomes[i :: len(SEEDS)]) for i in range(len(SEEDS))]
    return {
        "setting": setting,
        "strategy": name,
        "mixture_lr": rate,
        "steps": _options(name, rate, setting).steps,
        "regret": round(mean(o.regret for o in outcomes), 4),
        "regret_spread_over_seeds": round(stdev(by_seed), 4),
        "worst_regret": round(max(o.regret for o in outcomes), 4),
        "regret_of_picks": round(mean(o.regret_of_picks for o in outcomes), 4),
        "right_blocks": round(mean(o.right for o in outcomes), 3),
        "searches": len(outcomes),
    }


def _print(rows: list[dict[str, object]]) -> None:
    table = Table(*rows[0], title="Regret in nats per token; 0 is the planted optimum")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()

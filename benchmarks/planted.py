"""Do search strategies find mixture weights that are known to be best?

Copies of a bundled component are damaged by noise so that the best mixture weights are known: they
give back the component, and its loss, whatever else could be mixed.

- `twins`: in every block one of two copies, drawn at random, is damaged. The best rows pick the
  whole copy block by block.
- `rotated`: one of two copies is damaged in half of its blocks, and the features of its residual
  stream are in another order, so that it and the whole copy do not understand each other. The best
  rows pick the whole copy everywhere, but rows must move together: any one of them alone makes
  things worse.
- `minority`: of three copies two are damaged in every block and understand each other; the whole
  one has its features in another order. At even weights it only disturbs the other two, so that the
  gradient takes its weight away.

Components are frozen and there are no projectors, so that nothing but the mixture weights is found.
Every strategy gets the same budget in forward passes, a backward pass counting as two, and its
learning rate from a grid, on a different seed. If it is interrupted, the benchmark continues with
the searches that are done.

    python -m benchmarks.planted
"""

import argparse
from dataclasses import dataclass
from functools import partial
from statistics import mean, stdev

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Trials, best_of, save_results
from benchmarks.searching import search_here
from manticore.components.loading import Component, load_component
from manticore.data import TextData, load_text
from manticore.evaluate import mean_loss
from manticore.hybrid import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.mixture import simplex_grid
from manticore.names import STRATEGIES
from manticore.search import SearchConfig
from manticore.search.held_out import hold_out

COMPONENT = "zoo:tales-neox"
TEXT = "bundled:stories-en?n_stories=2000"
SEQ_LEN, BATCH_SIZE, EVAL_BATCHES = 64, 4, 12
BUDGET = 90
"""Forward passes of one search."""
NOISE = {"twins": 1.0, "rotated": 1.0, "minority": 0.8}
"""Of the damage, as a share of the weights' own spread, by setting."""
TUNING_SEED, SEEDS = 100, (0, 1, 2, 3, 4)
RATES = {
    "darts": (0.1, 0.3, 1.0),
    "darts-bilevel": (0.1, 0.3, 1.0),
    "gaea": (1.0, 3.0, 10.0),
    "dash": (0.1, 0.3, 1.0),
    "probe": (None,),
    "random": (None,),
    "sweep": (None,),
    "fixed": (None,),
}


@dataclass(frozen=True)
class Outcome:
    """One search: held-out losses above the best possible, in nats per token, and rows right.

    Attributes:
        steps: That the budget was enough for.
        regret: Of the mixture weights as found.
        regret_of_picks: Of the component with the greatest weight in each block, alone.
        right: Share of blocks whose greatest weight is on the whole copy.
    """

    steps: int
    regret: float
    regret_of_picks: float
    right: float


def main() -> None:
    """Tune, measure, print and save."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    component = load_component(COMPONENT)
    data = load_text(TEXT, tokenizer=component.tokenizer, seq_len=SEQ_LEN)
    setup = {"component": COMPONENT, "text": TEXT, "budget": BUDGET, "noise": NOISE}
    setup |= {"seeds": SEEDS, "tuning_seed": TUNING_SEED}

    def row(setting: str, name: str) -> dict[str, object]:
        rate = _tuned(component, data, setting, name)
        outcomes = [_search(component, data, setting, name, rate, seed) for seed in SEEDS]
        return _summary(setting, name, rate, outcomes)

    with Trials("planted", setup) as trials:
        rows = [
            trials.measure(f"{setting} {name}", partial(row, setting, name))
            for setting in NOISE
            for name in RATES
        ]
        _print(rows)
        best = mean_loss(component.model, data.valid, batch_size=8, max_batches=EVAL_BATCHES)
        setup |= {"best_loss": best, "processors": trials.processors}
        print(save_results("planted", {"setup": setup, "rows": rows}))
        trials.forget()


def damaged(component: Component, layers: list[int], noise: float, seed: int) -> Component:
    """A copy of a bundled component in which some layers are damaged.

    Args:
        component: Stays as it is.
        layers: Indices of the layers.
        noise: What is added to every matrix, as a share of its own standard deviation.
        seed: Of the noise.
    """
    indices = ",".join(map(str, layers))
    damage = f"?damaged={indices}&noise={noise}&seed={seed}" if layers else ""
    return load_component(component.source + damage)


@torch.no_grad()
def reorder_features(component: Component, seed: int) -> None:
    """Put the features of a GPT-NeoX's residual stream into another order, in place.

    What the component computes stays the same to the last rounding.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(component.model.config.hidden_size, generator=generator)
    for name, parameter in component.model.named_parameters():
        if name.endswith(("query_key_value.weight", "h_to_4h.weight", "embed_in.weight")):
            parameter.copy_(parameter[:, order])
        elif (
            "norm" in name
            or name.endswith(("dense.weight", "4h_to_h.weight"))
            or name.endswith(("dense.bias", "4h_to_h.bias"))
        ):
            parameter.copy_(parameter[order])


def plant(
    component: Component, setting: str, seed: int
) -> tuple[ManticoreForCausalLM, torch.Tensor]:
    """A hybrid of copies, and the mixture weights that are best, (N, K)."""
    generator = torch.Generator().manual_seed(seed)
    depth = component.runner.depth
    K = 3 if setting == "minority" else 2
    if setting == "twins":
        whole = torch.randint(K, (depth,), generator=generator)  # which copy, block by block
        broken = [(whole != k).nonzero().flatten().tolist() for k in range(K)]
    else:
        one = int(torch.randint(K, (1,), generator=generator))
        some = torch.randperm(depth, generator=generator)[: depth // 2].tolist()
        layers = some if setting == "rotated" else list(range(depth))
        broken = [[] if k == one else layers for k in range(K)]
        whole = torch.full((depth,), one)
    copies = [damaged(component, broken[k], NOISE[setting], 1000 * seed + k) for k in range(K)]
    if setting != "twins":
        reorder_features(copies[one], seed)
    hybrid = build_hybrid(copies, depth, projector="identity", projector_init="identity")
    return hybrid, torch.nn.functional.one_hot(whole, K).float()


def _options(name: str, rate: float | None, shape: tuple[int, int]) -> SearchConfig:
    """A strategy's options within the budget, for (N, K) mixture weights."""
    extra, per_step, budget = {}, 3, BUDGET
    if name == "darts-bilevel":
        # Components are frozen, so the step on training text needs no backward pass.
        per_step = 4
    elif name == "probe":
        # Where rows stand, all rows to each corner, each row to each corner, a training step.
        n_blocks, K = shape
        per_step = 1 + K + n_blocks * K + 1
        extra["probe_every"] = 1
    elif name in ("random", "sweep", "fixed"):
        per_step = 1
    if name in ("random", "sweep"):
        extra["probe_batches"] = 1
    if name == "random":
        extra["candidates"] = budget = BUDGET // 2
    elif name == "sweep":
        budget = BUDGET - len(simplex_grid(shape[1], SearchConfig().grid))
    if rate is not None:
        extra["mixture_lr"] = rate
    return SearchConfig(
        strategy=name,
        steps=budget // per_step,
        batch_size=BATCH_SIZE,
        component_lr=0,
        projector_lr=0,
        warmup_steps=0,
        **extra,
    )


def _search(
    component: Component,
    data: TextData,
    setting: str,
    name: str,
    rate: float | None,
    seed: int,
) -> Outcome:
    hybrid, best = plant(component, setting, seed)
    options = _options(name, rate, tuple(best.shape))
    strategy = STRATEGIES.load(options.strategy)(options, seed)
    strategy.begin(hybrid)
    # Held out for everybody, so that all weights learn from the same text.
    text, held_out = hold_out(data.train, 0.1, seed, BATCH_SIZE)
    search_here(hybrid, strategy, options, text, held_out, seed)
    return _judge(hybrid, data, best, options.steps)


def _judge(hybrid: ManticoreForCausalLM, data: TextData, best: torch.Tensor, steps: int) -> Outcome:
    hybrid.eval()
    alpha = hybrid.mixture_weights
    picks = torch.nn.functional.one_hot(alpha.argmax(dim=1), alpha.shape[1]).float()
    losses = []
    for weights in (best, alpha, picks):
        hybrid.set_mixture_weights(weights)
        losses.append(mean_loss(hybrid, data.valid, batch_size=8, max_batches=EVAL_BATCHES))
    right = (picks == best).all(dim=1).float().mean().item()
    return Outcome(steps, losses[1] - losses[0], losses[2] - losses[0], right)


def _tuned(component: Component, data: TextData, setting: str, name: str) -> float | None:
    """The learning rate of the least regret on the tuning seed."""
    rates = RATES[name]
    if len(rates) == 1:
        return rates[0]
    regrets = {
        rate: _search(component, data, setting, name, rate, TUNING_SEED).regret for rate in rates
    }
    return best_of(regrets)


def _summary(
    setting: str, name: str, rate: float | None, outcomes: list[Outcome]
) -> dict[str, object]:
    return {
        "setting": setting,
        "strategy": name,
        "mixture_lr": rate,
        "steps": outcomes[0].steps,
        "regret": round(mean(o.regret for o in outcomes), 4),
        "spread": round(stdev(o.regret for o in outcomes), 4),
        "worst_regret": round(max(o.regret for o in outcomes), 4),
        "regret_of_picks": round(mean(o.regret_of_picks for o in outcomes), 4),
        "right_blocks": round(mean(o.right for o in outcomes), 3),
        "searches": len(outcomes),
    }


def _print(rows: list[dict[str, object]]) -> None:
    columns = ("setting", "strategy", "steps", "regret", "spread", "worst_regret", "right_blocks")
    table = Table(*columns, title="Regret in nats per token; 0 is the planted optimum")
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()

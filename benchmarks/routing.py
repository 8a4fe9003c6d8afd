"""Does a hybrid whose mixture weights follow the text beat everything else that its parts can do?

The bundled English and Spanish components on stories in both languages. Everyone is trained on the
same text, at the best learning rate of a grid that was tried on a seed of its own; half of the
held-out text chooses rates and weights, the other half is what is measured. Rows:

- the routed hybrid: its router fitted and no step of training, and after 50 and after 200 steps;
- the hybrid with mixture weights that are the same for all tokens, searched by DARTS;
- each component after as many steps, and after twice as many, about the compute of the hybrid;
- the ensemble of both trained components: the best weighted sum of their logits or probabilities;
- the router over the outputs: the same router, fitted to the trained components, mixes their
  probabilities, without any hybrid;
- the fitted hybrid with one-hot mixture weights by the language of each story, which no router can
  know at its first words.

    python -m benchmarks.routing

If it is interrupted, the benchmark continues with the trainings that are done.
"""

import argparse
import shutil
import time
from functools import partial
from itertools import pairwise
from math import exp
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import one_hot
from torch.utils.data import Dataset, Subset
from torch.utils.flop_counter import FlopCounterMode

import manticore as mc
from benchmarks.harness import RESULTS, Trials, best_of, save_results
from manticore.config.search import RouterConfig
from manticore.data import TextData
from manticore.evaluate import perplexity
from manticore.hybrid import ManticoreForCausalLM
from manticore.hybrid.routing import RouterSettings
from manticore.search.router_fit import component_losses, fit_router

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
NAMES = ("tales-neox", "novelas-mamba")
TEXT, SEQ_LEN, BATCH_SIZE, N_BLOCKS, STEPS, FEW_STEPS = "bundled:stories-mixed", 256, 2, 4, 200, 50
ROUTER = {"threshold": 0.3, "window": 4}
HEAD = "mixture"
RATES = {
    "routed": (1e-4, 2e-4, 5e-4),
    "static": (1e-3, 2e-3, 4e-3),
    NAMES[0]: (2e-3, 4e-3, 8e-3),
    NAMES[1]: (2e-3, 4e-3, 8e-3),
}
TUNING_STEPS, TUNING_SEED, SEEDS, TUNING_SEQUENCES = 100, 100, (0, 1, 2), 80
ENSEMBLE_WEIGHTS = tuple(step / 10 for step in range(11))
RUNS = RESULTS.parent.parent / ".cache" / "routing"
"""The trainings, until the table is complete."""


class Outputs(torch.nn.Module):
    """Two components whose outputs are mixed, their logits or their probabilities.

    Args:
        pair: Hybrid of the components; only its router is used besides them.
        weight: Weight of the first component; None for the router's.
        probabilities: Whether probabilities are mixed instead of logits.
    """

    def __init__(
        self, pair: ManticoreForCausalLM, weight: float | None, probabilities: bool
    ) -> None:
        super().__init__()
        self.pair, self.weight, self.probabilities = pair, weight, probabilities
        self.device = pair.device

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        """As a causal language model."""
        outputs = [
            model(input_ids=input_ids, use_cache=use_cache) for model in self.pair.components
        ]
        alpha = torch.tensor([self.weight or 0.0, 1 - (self.weight or 0.0)])
        if self.weight is None:
            alpha = self.pair.mixture.weights_of(input_ids)[:, :, -1]
        logits = torch.stack([output.logits for output in outputs], dim=-1)  # (B, T, V, K)
        if self.probabilities:
            weights = alpha.clamp_min(torch.finfo(torch.float32).tiny).log()
            mixed = (logits.log_softmax(dim=-2) + weights[..., None, :]).logsumexp(dim=-1)
        else:
            mixed = (logits * alpha[..., None, :]).sum(dim=-1)
        outputs[0].logits = mixed
        return outputs[0]


class Oracle(torch.nn.Module):
    """A hybrid with one-hot mixture weights by the language of each story."""

    def __init__(self, hybrid: ManticoreForCausalLM) -> None:
        super().__init__()
        self.hybrid, self.device = hybrid, hybrid.device

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        """As a causal language model."""
        own = languages(self.hybrid, input_ids)
        # The mixture weights of a token are for the prediction of the next one.
        own[:, :-1] = own[:, 1:].clone()
        alpha = one_hot(own, len(PAIR)).float()[:, :, None].expand(-1, -1, N_BLOCKS, -1)
        return self.hybrid(input_ids, use_cache=use_cache, mixture_weights=alpha)


def languages(hybrid: ManticoreForCausalLM, input_ids: torch.Tensor) -> torch.Tensor:
    """Index of the component that knows each story best as a whole, for each token, (n, T)."""
    losses = component_losses(hybrid, input_ids)
    assert hybrid.tokenizer is not None
    own = torch.zeros_like(input_ids)
    for row, ids in enumerate(input_ids):
        ends = (ids == hybrid.tokenizer.eos_token_id).nonzero().flatten().tolist()
        bounds = [0, *(end + 1 for end in ends), len(ids)]
        for start, stop in pairwise(bounds):
            own[row, start:stop] = losses[row, start:stop].sum(dim=0).argmin()
    return own


def main() -> None:
    """Tune, measure, print and save."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    data = _data()
    with Trials("routing", _setup(data)) as trials:
        print(save_results("routing", _measure(data, trials)))
        trials.forget()
    shutil.rmtree(RUNS, ignore_errors=True)


def _data() -> TextData:
    tokenizer = mc.load_component(PAIR[0]).tokenizer
    return mc.load_text(TEXT, tokenizer=tokenizer, seq_len=SEQ_LEN)


def _setup(data: TextData) -> dict[str, Any]:
    assert data.floor is not None
    return {
        "text": TEXT,
        "seq_len": SEQ_LEN,
        "batch_size": BATCH_SIZE,
        "n_blocks": N_BLOCKS,
        "head": HEAD,
        "router": ROUTER,
        "steps": STEPS,
        "tuning_steps": TUNING_STEPS,
        "tuning_seed": TUNING_SEED,
        "seeds": SEEDS,
        "test_sequences": len(data.valid) - TUNING_SEQUENCES,
        "floor": round(exp(float(data.floor)), 4),
    }


def _measure(data: TextData, trials: Trials) -> dict[str, Any]:
    """The record of everything that is measured; its table is printed."""
    tuning = Subset(data.valid, range(TUNING_SEQUENCES))
    test = Subset(data.valid, range(TUNING_SEQUENCES, len(data.valid)))

    def after(name: str, rate: float) -> float:
        return _score(_trained(name, rate, TUNING_SEED, TUNING_STEPS)[0], tuning)

    tuned = {
        name: trials.at_rates(f"tuning {name}", rates, partial(after, name))
        for name, rates in RATES.items()
    }
    rates = {name: best_of(tried) for name, tried in tuned.items()}
    seeds = [_one_seed(data, tuning, test, trials, rates, seed) for seed in SEEDS]
    costs = _costs(data)
    rows = [
        {
            "name": name,
            "perplexity": round(mean(seed[name] for seed in seeds), 4),
            "spread": round(stdev(seed[name] for seed in seeds), 4),
            "by_seed": [round(seed[name], 4) for seed in seeds],
            "training_pflops": costs.get(name),
        }
        for name in seeds[0]
        if not name.endswith(" s")
    ]
    seconds = {name: round(mean(seed[name] for seed in seeds), 1) for name in seeds[0]}
    seconds = {name: value for name, value in seconds.items() if name.endswith(" s")}
    table = Table("model", "perplexity", "spread", "training PFLOPs")
    for row in rows:
        values = (row["perplexity"], row["spread"], row["training_pflops"])
        table.add_row(row["name"], *map(str, values))
    Console().print(table)
    setup = _setup(data) | {"component_lr": rates, "processors": trials.processors}
    return {"setup": setup, "rows": rows, "tuning": tuned, "wall_s": seconds}


def _one_seed(
    data: TextData,
    tuning: Dataset,
    test: Dataset,
    trials: Trials,
    rates: dict[str, float],
    seed: int,
) -> dict[str, float]:
    """Test perplexities of everything, and the seconds that trainings took."""

    def hybrid(name: str, steps: int) -> dict[str, float]:
        model, seconds = _trained(name, rates[name], seed, steps)
        label = f"{name} hybrid, {steps} steps"
        found = {label: _score(model, test), f"{label} s": seconds}
        if steps == 0:
            found["hybrid, language known"] = _score(Oracle(model), test)
        return found

    def components(steps: int) -> dict[str, float]:
        found, models = {}, []
        for name in NAMES:
            model, seconds = _trained(name, rates[name], seed, steps)
            models.append(model)
            found |= {f"{name}, {steps} steps": _score(model, test)}
            found |= {f"{name}, {steps} steps s": seconds}
        return found | (_outputs(data, tuning, test, models, seed) if steps == STEPS else {})

    found: dict[str, float] = {}
    for steps in (0, FEW_STEPS, STEPS):
        found |= trials.measure(f"seed {seed} routed {steps}", partial(hybrid, "routed", steps))
    found |= trials.measure(f"seed {seed} static", partial(hybrid, "static", STEPS))
    for steps in (STEPS, 2 * STEPS):
        found |= trials.measure(f"seed {seed} components {steps}", partial(components, steps))
    return found


def _outputs(
    data: TextData, tuning: Dataset, test: Dataset, models: list[ManticoreForCausalLM], seed: int
) -> dict[str, float]:
    """What can be done with the outputs of the trained components alone."""
    pair = mc.build_hybrid(list(PAIR), N_BLOCKS)
    for own, model in zip(pair.components, models, strict=True):
        own.load_state_dict(model.components[0].state_dict())
    found = {}
    for kind, probabilities in (("logits", False), ("probabilities", True)):
        weight = min(
            ENSEMBLE_WEIGHTS, key=lambda w: _score(Outputs(pair, w, probabilities), tuning)
        )
        found[f"ensemble of {kind}"] = _score(Outputs(pair, weight, probabilities), test)
    options = RouterConfig(**ROUTER)
    pair.add_router(RouterSettings(options.width, threshold=options.threshold))
    n = options.fit_sequences
    rows = [data.train[i * len(data.train) // n]["input_ids"] for i in range(n)]
    fit_router(pair, torch.stack(rows), options, seed)
    found["router over the outputs"] = _score(Outputs(pair, None, True), test)
    return found


def _score(model: Any, dataset: Dataset) -> float:
    return round(perplexity(model, dataset, batch_size=16), 4)


def _trained(name: str, rate: float, seed: int, steps: int) -> tuple[ManticoreForCausalLM, float]:
    """A model, trained now or before, and the seconds of its training."""
    options = {"steps": steps, "batch_size": BATCH_SIZE, "component_lr": rate}
    options |= {"eval_every": max(1, steps), "eval_batches": 1, "sample_prompt": ""}
    stages: dict[str, Any] = {"finetune": options}
    if name == "routed":
        stages = {"search": options | {"strategy": "routed", "router": ROUTER}}
    elif name == "static":
        stages = {"search": options | {"strategy": "darts"}}
    components = PAIR if name in ("routed", "static") else (PAIR[NAMES.index(name)],)
    data = {"source": TEXT, "seq_len": SEQ_LEN}
    head = HEAD if name == "routed" else "mixed"
    recipe = mc.Recipe(
        components=components, n_blocks=N_BLOCKS, head=head, seed=seed, data=data, stages=stages
    )
    start = time.monotonic()
    run = mc.run_recipe(recipe, root=RUNS)[-1]
    return run.hybrid().eval(), round(time.monotonic() - start, 1)


def _costs(data: TextData) -> dict[str, float]:
    """Floating-point operations of each training, in units of 1e15, as PyTorch counts them.

    Matrix products are counted; the scan, whose operations are elementwise, is not.
    """
    ids = torch.stack([data.train[i]["input_ids"] for i in range(BATCH_SIZE)])
    sources = dict(zip(NAMES, PAIR, strict=True))
    models = {name: mc.build_hybrid([source], N_BLOCKS) for name, source in sources.items()}
    models["hybrid"] = mc.build_hybrid(list(PAIR), N_BLOCKS)

    def count(model: ManticoreForCausalLM, learn: bool) -> float:
        model.train(learn)
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(learn):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            if learn:
                loss.backward()
        return counter.get_total_flops() / 1e15

    step = {name: count(model, learn=True) for name, model in models.items()}
    scored = RouterConfig(**ROUTER).fit_sequences / BATCH_SIZE
    fit = sum(count(models[name], learn=False) for name in NAMES) * scored
    costs = {f"routed hybrid, {n} steps": fit + step["hybrid"] * n for n in (0, FEW_STEPS, STEPS)}
    costs[f"static hybrid, {STEPS} steps"] = step["hybrid"] * STEPS
    for name in NAMES:
        costs |= {f"{name}, {n} steps": step[name] * n for n in (STEPS, 2 * STEPS)}
    both = sum(step[name] for name in NAMES) * STEPS
    costs |= dict.fromkeys(("ensemble of logits", "ensemble of probabilities"), both)
    costs["router over the outputs"] = both + fit
    costs["hybrid, language known"] = fit
    return {name: float(f"{value:.3g}") for name, value in costs.items()}


if __name__ == "__main__":
    main()

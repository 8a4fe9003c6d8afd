"""Is a fine-tuned hybrid better than its fine-tuned components, and than what else they could do?

An English and a Spanish component and the hybrid of both are fine-tuned on one text and measured on
another, with the same data and steps, each at the best learning rate of one grid, which was tried
in trainings of 200 steps on a different seed. Next to them:

- each component with twice the steps, which is about the compute of the hybrid's fine-tuning;
- the ensemble of the two fine-tuned components: the weighted sum of their logits, with the weight
  that is best on the tuning part;
- the hybrid at even mixture weights, which needs no search;
- the hybrid with only the component of greatest weight left in each block, fine-tuned.

The hybrid's projectors are fitted at its mixture weights; for WikiText-2 they are then trained on
general text, with frozen components, as the paper does first.

    python -m benchmarks.finetuning stories-mixed
    python -m benchmarks.finetuning wikitext2 --folder FOLDER

FOLDER has wikitext2.valid.txt, which is trained on, wikitext2.test.txt, and tales_en.train.txt. If
it is interrupted, the benchmark continues with the trainings that are done.
"""

import argparse
import shutil
from dataclasses import dataclass
from functools import partial
from math import exp
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import ConcatDataset, Dataset, Subset
from torch.utils.flop_counter import FlopCounterMode

import manticore as mc
from benchmarks.harness import RESULTS, Trials, as_record, best_of, save_results, time_side_by_side
from manticore.data import TextData
from manticore.evaluate import perplexity
from manticore.hybrid import ManticoreForCausalLM

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
NAMES = ("tales-neox", "novelas-mamba")
SEQ_LEN, BATCH_SIZE, N_BLOCKS, TUNING_BATCHES, SPEED_ROUNDS = 128, 4, 4, 40, 5
TUNING_STEPS = SEARCH_STEPS = 200
PRETRAINING = {"steps": 300, "batch_size": 8, "projector_lr": 3e-3}
RATES = (5e-4, 1e-3, 2e-3, 4e-3)
TUNING_SEED, SEEDS = 100, (0, 1, 2)
ENSEMBLE_WEIGHTS = tuple(step / 10 for step in range(11))
RUNS = RESULTS.parent.parent / ".cache" / "finetuning"
"""The trainings, until the table is complete."""


@dataclass(frozen=True)
class Target:
    """A text to fine-tune for, and how.

    Attributes:
        name: Name of the text.
        source: Source of the text that is trained on, as `load_text` takes it.
        data: The text; the first batches of its held-out part choose learning rates.
        test: What is measured on, at the end only.
        steps: Optimizer steps of each fine-tuning.
        mixture_lr: Learning rate of the mixture weights in the search.
        projector_lr: Learning rate of the projectors in the search and in each fine-tuning.
        general: Text that projectors are trained on first, if any.
    """

    name: str
    source: str
    data: TextData
    test: Dataset
    steps: int
    mixture_lr: float
    projector_lr: float = 1e-3
    general: str | None = None

    @property
    def tuning(self) -> Dataset:
        """The sequences that choices are made on."""
        return Subset(self.data.valid, range(self.n_tuning))

    @property
    def n_tuning(self) -> int:
        """How many there are."""
        return min(TUNING_BATCHES * BATCH_SIZE, len(self.data.valid))


class Ensemble(torch.nn.Module):
    """The sum of the logits of two components, the first with this weight."""

    def __init__(self, models: list[ManticoreForCausalLM], weight: float) -> None:
        super().__init__()
        self.models, self.weight = torch.nn.ModuleList(models), weight
        self.device = models[0].device

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        """As a causal language model."""
        first, second = (model(input_ids=input_ids, use_cache=use_cache) for model in self.models)
        first.logits = self.weight * first.logits + (1 - self.weight) * second.logits
        return first


def main() -> None:
    """Tune, measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", choices=("stories-mixed", "wikitext2"), nargs="?")
    parser.add_argument("--folder", type=Path, help="folder of the files of wikitext2 and tales_en")
    given = parser.parse_args()
    target = _target(given.text or "stories-mixed", given.folder)
    with Trials(f"finetuning-{target.name}", _setup(target)) as trials:
        print(save_results(f"finetuning-{target.name}", _measure(target, trials)))
        trials.forget()
    shutil.rmtree(RUNS / target.name, ignore_errors=True)


def _setup(target: Target) -> dict[str, Any]:
    floor = target.data.floor
    return {
        "text": target.name,
        "seq_len": SEQ_LEN,
        "batch_size": BATCH_SIZE,
        "steps": target.steps,
        "tuning_steps": TUNING_STEPS,
        "search_steps": SEARCH_STEPS,
        "mixture_lr": target.mixture_lr,
        "projector_lr": target.projector_lr,
        "projectors_pretrained": PRETRAINING if target.general else None,
        "seeds": SEEDS,
        "tuning_seed": TUNING_SEED,
        "training_tokens": target.data.n_tokens,
        "test_sequences": len(target.test),
        "floor": None if floor is None else round(exp(float(floor)), 4),
    }


def _measure(target: Target, trials: Trials) -> dict[str, Any]:
    """The record of everything that is measured; its table is printed."""
    tuned = _tune(target, trials)
    rates = {name: best_of(tried) for name, tried in tuned.items()}
    measured = {seed: _one_seed(target, trials, rates, seed) for seed in SEEDS}
    by_seed = [perplexities for perplexities, _ in measured.values()]
    costs = _costs(target)
    rows = [
        {
            "name": name,
            "perplexity": round(mean(seed[name] for seed in by_seed), 4),
            "spread": round(stdev(seed[name] for seed in by_seed), 4),
            "by_seed": [round(seed[name], 4) for seed in by_seed],
            **costs["rows"][name],
        }
        for name in by_seed[0]
    ]
    _print(target, rows)
    setup = _setup(target) | {"component_lr": rates, "processors": trials.processors}
    found = [choices for _, choices in measured.values()]
    record = {"setup": setup, "rows": rows, "tuning": tuned, "found": found}
    return record | {"timings": costs["timings"]}


def _target(name: str, folder: Path | None) -> Target:
    tokenizer = mc.build_hybrid(list(PAIR[:1]), N_BLOCKS).tokenizer
    if name == "stories-mixed":
        source = f"bundled:{name}"
        data = mc.load_text(source, tokenizer=tokenizer, seq_len=SEQ_LEN)
        # The same held-out stories, from where tuning has ended.
        rest = range(TUNING_BATCHES * BATCH_SIZE, len(data.valid))
        return Target(name, source, data, Subset(data.valid, rest), steps=200, mixture_lr=0.02)
    if folder is None:
        raise SystemExit("wikitext2 is not bundled: give its folder with --folder FOLDER.")
    options = {"tokenizer": tokenizer, "seq_len": SEQ_LEN}
    source = folder.resolve() / "wikitext2.valid.txt"
    data = mc.load_text(source, **options)
    text = mc.load_text(folder / "wikitext2.test.txt", **options)
    test = ConcatDataset([text.train, text.valid])
    # Every fourth sequence, so that all articles are in it.
    test = Subset(test, range(0, len(test), 4))
    general = str(folder.resolve() / "tales_en.train.txt")
    options = {"mixture_lr": 0.1, "projector_lr": 3e-4, "general": general}
    return Target(name, str(source), data, test, steps=800, **options)


def _tune(target: Target, trials: Trials) -> dict[str, dict[float, float]]:
    """Perplexity on the tuning part by model and learning rate; the hybrid at even weights."""

    def perplexity_after(components: tuple[str, ...], rate: float) -> float:
        model = _finetuned(target, components, rate, TUNING_SEED, TUNING_STEPS)
        return round(perplexity(model, target.tuning, batch_size=16), 4)

    contestants = {NAMES[0]: PAIR[:1], NAMES[1]: PAIR[1:], "hybrid": PAIR}
    return {
        name: trials.at_rates(f"tuning {name}", RATES, partial(perplexity_after, sources))
        for name, sources in contestants.items()
    }


def _one_seed(
    target: Target, trials: Trials, rates: dict[str, float], seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Test perplexities of everything, and the mixture weights and the weight of the ensemble."""

    def test(model: torch.nn.Module) -> float:
        return perplexity(model, target.test, batch_size=16)

    def components(steps: int) -> list[ManticoreForCausalLM]:
        return [
            _finetuned(target, (source,), rates[name], seed, steps)
            for name, source in zip(NAMES, PAIR, strict=True)
        ]

    def once() -> dict[str, Any]:
        models = components(target.steps)
        chosen = min(
            ENSEMBLE_WEIGHTS,
            key=lambda weight: perplexity(Ensemble(models, weight), target.tuning, batch_size=16),
        )
        found = {name: test(model) for name, model in zip(NAMES, models, strict=True)}
        return {"weight": chosen, **found, "ensemble": test(Ensemble(models, chosen))}

    def twice() -> dict[str, float]:
        models = zip(NAMES, components(2 * target.steps), strict=True)
        return {f"{name}, twice the steps": test(model) for name, model in models}

    def hybrid(alpha: torch.Tensor) -> float:
        return test(_finetuned(target, PAIR, rates["hybrid"], seed, target.steps, alpha))

    measured = trials.measure(f"seed {seed} components", once)
    weight = measured.pop("weight")
    measured |= trials.measure(f"seed {seed} twice the steps", twice)
    alpha = torch.tensor(
        trials.measure(
            f"seed {seed} search", lambda: _searched(target, rates["hybrid"], seed).tolist()
        )
    )
    K = len(PAIR)
    mixtures = {"hybrid": alpha, "hybrid, even": torch.full_like(alpha, 1 / K)}
    mixtures["hybrid, pruned"] = torch.nn.functional.one_hot(alpha.argmax(dim=1), K).float()
    for name, weights in mixtures.items():
        measured[name] = trials.measure(f"seed {seed} {name}", partial(hybrid, weights))
    return measured, {"alpha": alpha.tolist(), "ensemble_weight": weight}


def _build(components: tuple[str, ...]) -> ManticoreForCausalLM:
    return mc.build_hybrid(list(components), N_BLOCKS)


def _options(target: Target, rate: float, steps: int) -> dict[str, Any]:
    options = {"steps": steps, "batch_size": BATCH_SIZE, "component_lr": rate}
    options |= {"projector_lr": target.projector_lr, "eval_every": steps, "eval_batches": 1}
    return options | {"checkpoint_every": min(steps, 200), "sample_prompt": ""}


def _finetuned(
    target: Target,
    components: tuple[str, ...],
    rate: float,
    seed: int,
    steps: int,
    alpha: torch.Tensor | None = None,
) -> ManticoreForCausalLM:
    """A model fine-tuned at mixture weights (N, K), even ones if None; now or before."""
    stages = {}
    if target.general is not None and (alpha is None or (alpha < 1).all()) and len(components) > 1:
        stages["pretrain-projectors"] = {
            **PRETRAINING,
            "data": target.general,
            "eval_every": PRETRAINING["steps"],
            "eval_batches": 1,
            "sample_prompt": "",
        }
    stages["finetune"] = _options(target, rate, steps)
    given = None if alpha is None else alpha.tolist()
    return _done(target, seed, components=components, mixture_weights=given, stages=stages)


def _searched(target: Target, rate: float, seed: int) -> torch.Tensor:
    """The mixture weights that DARTS finds, (N, K)."""
    options = _options(target, rate, SEARCH_STEPS) | {"mixture_lr": target.mixture_lr}
    return _done(target, seed, components=PAIR, stages={"search": options}).mixture_weights


def _done(target: Target, seed: int, **recipe: Any) -> ManticoreForCausalLM:
    """The hybrid of a recipe, made now or before."""
    data = {"source": target.source, "seq_len": SEQ_LEN}
    recipe = mc.Recipe(n_blocks=N_BLOCKS, seed=seed, data=data, **recipe)
    return mc.run_recipe(recipe, root=RUNS / target.name)[-1].hybrid().eval()


def _costs(target: Target) -> dict[str, Any]:
    """Number of parameters, training FLOPs and training speed of each model."""
    hybrid, pruned = _build(PAIR), _build(PAIR)
    K = len(PAIR)
    picks = torch.arange(N_BLOCKS) % K
    pruned.set_mixture_weights(torch.nn.functional.one_hot(picks, K).float())
    models = {NAMES[0]: _build(PAIR[:1]), NAMES[1]: _build(PAIR[1:])}
    models |= {"hybrid": hybrid, "hybrid, pruned": pruned}
    ids = torch.stack([target.data.train[i]["input_ids"] for i in range(BATCH_SIZE)])
    steps = {name: _Step(model, ids) for name, model in models.items()}
    counted = {name: step.count() for name, step in steps.items()}
    timings = time_side_by_side(steps, SPEED_ROUNDS)
    seconds = {timing.name: timing.median_s for timing in timings}

    def row(names: list[str], steps: float) -> dict[str, float]:
        flops = sum(counted[name][1] for name in names) * steps
        speed = ids.numel() / sum(seconds[name] for name in names)
        return {
            "parameters": sum(counted[name][0] for name in names),
            "training_pflops": float(f"{flops / 1e15:.3g}"),
            "training_tokens_per_s": round(speed),
        }

    rows = {name: row([name], target.steps) for name in models}
    for name in NAMES:
        rows[f"{name}, twice the steps"] = row([name], 2 * target.steps)
    rows["ensemble"] = row(list(NAMES), target.steps)
    rows["hybrid, even"] = row(["hybrid"], target.steps)
    # What came before counts too; a step of pretraining counts like one that trains everything.
    before = dict.fromkeys(("hybrid", "hybrid, pruned"), counted["hybrid"][1] * SEARCH_STEPS)
    if target.general is not None:
        pretraining = counted["hybrid"][1] * PRETRAINING["steps"] * PRETRAINING["batch_size"]
        for name in ("hybrid", "hybrid, even"):
            before[name] = before.get(name, 0) + pretraining / BATCH_SIZE
    for name, flops in before.items():
        total = rows[name]["training_pflops"] + flops / 1e15
        rows[name]["training_pflops"] = float(f"{total:.3g}")
    return {"rows": rows, "timings": as_record(timings)}


class _Step:
    """One training step of a model."""

    def __init__(self, model: ManticoreForCausalLM, ids: torch.Tensor) -> None:
        self.model, self.ids = model.train(), ids
        learning = [p for name, p in model.named_parameters() if "mixture" not in name]
        self.optimizer = torch.optim.AdamW(learning, lr=1e-5)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self.model(input_ids=self.ids, labels=self.ids, use_cache=False).loss.backward()
        self.optimizer.step()

    def count(self) -> tuple[int, int]:
        """Parameters that get a gradient, and FLOPs of a step as PyTorch counts them.

        Matrix products are counted; the scan, whose operations are elementwise, is not.
        """
        with FlopCounterMode(display=False) as counter:
            self()
        parameters = (p.numel() for p in self.model.parameters() if p.grad is not None)
        return sum(parameters), counter.get_total_flops()


def _print(target: Target, rows: list[dict[str, Any]]) -> None:
    columns = [name for name in rows[0] if name != "by_seed"]
    title = f"{target.name}: test perplexity, mean and spread over {len(SEEDS)} seeds"
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()

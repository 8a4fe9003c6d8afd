"""When do static mixture weights decide?

The bundled English and Spanish components, searched for 100 steps on English stories, where the
English component alone is right, and on stories in both languages, where no static mixture weights
are. What is compared:

- the gate (`paper`, `flat`), the head (`mixed`, `mixture`) and the learning rate of the mixture
  weights, with `darts`;
- projectors that are fitted again, in closed form, at the mixture weights of every 20th step;
- the strategies `probe` and `gaea`.

`decided` is the mean over blocks of the greatest mixture weight: 0.5 is even, 1 is decided.
`regret` is the loss above that of the best constant mixture weights with the same training, in nats
per token: one component alone, or even weights.

What to compare, and the components' learning rates, were chosen with another seed on the first half
of the held-out text; what is measured is spread over its second half.

    python -m benchmarks.decided

If it is interrupted, the benchmark continues with the searches that are done.
"""

import argparse
from dataclasses import asdict, dataclass, field
from functools import partial
from math import exp
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import Subset

import manticore as mc
from benchmarks.harness import Trials, save_results
from benchmarks.searching import search_here
from manticore.config.search import SearchConfig
from manticore.data import TextData
from manticore.evaluate import mean_loss
from manticore.hybrid.alignment import align_projectors, boundary_states
from manticore.names import STRATEGIES
from manticore.search.held_out import hold_out

ENGLISH, SPANISH = "zoo:tales-neox", "zoo:novelas-mamba"
TEXTS = ("stories-en", "stories-mixed")
N_BLOCKS, SEQ_LEN, BATCH_SIZE, STEPS = 4, 32, 4, 100
COMPONENT_LR = {"stories-en": 2e-4, "stories-mixed": 1e-3}
REFIT_EVERY, REFIT_TOKENS = 20, 2048
SEEDS, TEST_SEQUENCES = (0, 1, 2), 384


@dataclass(frozen=True)
class Way:
    """One way to get mixture weights, with components that learn.

    Attributes:
        name: For the table.
        components: Sources.
        gate: As `build_hybrid` takes it.
        head: As `build_hybrid` takes it.
        refit: Whether projectors are fitted again while mixture weights move.
        options: Options of the search.
    """

    name: str
    components: tuple[str, ...] = (ENGLISH, SPANISH)
    gate: str = "flat"
    head: str = "mixture"
    refit: bool = False
    options: dict[str, Any] = field(default_factory=dict)


FIXED = {"strategy": "fixed"}
CONSTANT = (
    Way("English component alone", (ENGLISH,), options=FIXED),
    Way("Spanish component alone", (SPANISH,), options=FIXED),
    Way("even, mixed head", gate="paper", head="mixed", options=FIXED),
    Way("even, mixture head", gate="paper", options=FIXED),
)
"""Mixture weights that stay; the best of them has a regret of 0."""
SLOW, FAST = {"mixture_lr": 0.02}, {"mixture_lr": 0.1}
SEARCHED = (
    Way("paper gate, mixed head, rate 0.02", gate="paper", head="mixed", options=SLOW),
    Way("flat gate, mixture head, rate 0.1", options=FAST),
    Way("probe", options={"strategy": "probe"}),
    Way("paper gate, mixed head, rate 0.1", gate="paper", head="mixed", options=FAST),
    Way("flat gate, mixture head, rate 0.02", options=SLOW),
    Way("flat gate, mixed head, rate 0.1", head="mixed", options=FAST),
    Way("paper gate, mixture head, rate 0.1", gate="paper", options=FAST),
    Way("refit", gate="paper", head="mixed", refit=True, options=FAST),
    Way("gaea", options={"strategy": "gaea"}),
)


def main() -> None:
    """Tune, measure, print and save."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    tokenizer = mc.load_component(ENGLISH).tokenizer
    texts = {
        name: mc.load_text(f"bundled:{name}", tokenizer=tokenizer, seq_len=SEQ_LEN)
        for name in TEXTS
    }
    with Trials("decided", _setup()) as trials:
        record = _measure(texts, trials)
        _print(record["rows"])
        print(save_results("decided", record))
        trials.forget()


def _setup() -> dict[str, Any]:
    return {
        "components": (ENGLISH, SPANISH),
        "n_blocks": N_BLOCKS,
        "seq_len": SEQ_LEN,
        "batch_size": BATCH_SIZE,
        "steps": STEPS,
        "component_lr": COMPONENT_LR,
        "refit_every": REFIT_EVERY,
        "refit_tokens": REFIT_TOKENS,
        "seeds": SEEDS,
        "test_sequences": TEST_SEQUENCES,
    }


def _measure(texts: dict[str, TextData], trials: Trials) -> dict[str, Any]:
    """The record of everything that is measured."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {text: {} for text in TEXTS}
    for way in (*CONSTANT, *SEARCHED):
        for text in TEXTS:
            if text == "stories-mixed" or way.components != (SPANISH,):
                found[text][way.name] = [
                    trials.measure(
                        f"{text} {way.name} {seed}", partial(_search, way, texts[text], text, seed)
                    )
                    for seed in SEEDS
                ]
    rows = []
    for text, by_way in found.items():
        constant = [by_way[way.name] for way in CONSTANT if way.name in by_way]
        best = min(constant, key=lambda by_seed: mean(one["loss"] for one in by_seed))
        rows += [_row(text, name, by_seed, best) for name, by_seed in by_way.items()]
    setup = _setup() | {"processors": trials.processors}
    setup["ways"] = [asdict(way) for way in (*CONSTANT, *SEARCHED)]
    return {"setup": setup, "rows": rows}


def _search(way: Way, data: TextData, text: str, seed: int) -> dict[str, Any]:
    """Held-out loss in nats per token, and the mixture weights, of one search."""
    hybrid = mc.build_hybrid(
        list(way.components), N_BLOCKS, gate=way.gate, head=way.head, seed=seed
    )
    given = {"steps": STEPS, "batch_size": BATCH_SIZE, "component_lr": COMPONENT_LR[text]}
    options = SearchConfig.model_validate(given | way.options)
    strategy = STRATEGIES.load(options.strategy)(options, seed)
    strategy.begin(hybrid)
    learned_from, held_out = hold_out(data.train, options.held_out, seed, BATCH_SIZE)
    n = REFIT_TOKENS // SEQ_LEN
    fitted_on = torch.stack([data.train[i * len(data.train) // n]["input_ids"] for i in range(n)])

    def refit(step: int, loss: float) -> None:
        if way.refit and step % REFIT_EVERY == 0 and step < STEPS:
            align_projectors(hybrid, fitted_on, boundary_states(hybrid, fitted_on))

    search_here(hybrid, strategy, options, learned_from, held_out, seed, refit)
    hybrid.eval()
    half = len(data.valid) // 2
    test = [half + i * half // TEST_SEQUENCES for i in range(TEST_SEQUENCES)]
    loss = mean_loss(hybrid, Subset(data.valid, test), batch_size=32)
    rounded = [[round(weight, 4) for weight in row] for row in hybrid.mixture_weights.tolist()]
    return {"loss": round(loss, 5), "alpha": rounded}


def _row(
    text: str, name: str, by_seed: list[dict[str, Any]], best: list[dict[str, Any]]
) -> dict[str, Any]:
    """A row of the table; regret is compared seed by seed."""
    losses = [one["loss"] for one in by_seed]
    regrets = [loss - other["loss"] for loss, other in zip(losses, best, strict=True)]
    decided = [mean(max(row) for row in one["alpha"]) for one in by_seed]
    perplexities = [exp(loss) for loss in losses]
    return {
        "text": text,
        "way": name,
        "perplexity": round(mean(perplexities), 3),
        "perplexity_spread": round(stdev(perplexities), 3),
        "regret": round(mean(regrets), 3),
        "regret_spread": round(stdev(regrets), 3),
        "decided": round(mean(decided), 3),
        "decided_spread": round(stdev(decided), 3),
        "by_seed": by_seed,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table("text", "way", "perplexity", "spread", "regret", "spread", "decided", "spread")
    for row in rows:
        table.add_row(*(str(value) for name, value in row.items() if name != "by_seed"))
    Console().print(table)


if __name__ == "__main__":
    main()

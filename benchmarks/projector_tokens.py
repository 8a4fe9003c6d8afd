"""How many tokens do projectors need, of which kind, and does it depend on the pair?

The projectors of every pair of the bundled components are trained on general text, components
frozen, from the closed-form fit on: stories in English and Spanish and code of the standard
library, one third of the characters each. On text that nobody learned from, the loss at even
mixture weights is measured after more and more tokens, for affine projectors, for two layers, and
for a correction of low rank. A pair's components are alike to the extent that the closed form can
say what the one would have seen by what the other has: `error_into`, what is missing of it on
held-out text (`alignment_error`), with affine projectors and before any training.

`left` is how much of the improvement between no training and the last measurement was still to come
after so many tokens. The rate is the best for each kind, on one pair, with another seed, on the
other half of the held-out text, from a grid that is extended where its end is best.

    python -m benchmarks.projector_tokens

If it is interrupted, the benchmark continues with the trainings that are done.
"""

import argparse
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import Subset

import manticore as mc
from benchmarks.harness import Trials, best_of, save_results
from benchmarks.routing_texts import CACHE
from benchmarks.searching import search_text
from manticore.config.search import SearchConfig
from manticore.data import TextData
from manticore.evaluate import alignment_error, mean_loss
from manticore.hybrid import ManticoreForCausalLM
from manticore.programming.trust import by_chance, rank_correlation
from manticore.stories import generate_stories
from tools.zoo.blend import python_modules

COMPONENTS = ("tales-neox", "tales-neo", "tales-mamba", "novelas-mamba", "stdlib-llama")
PAIRS = tuple(combinations(COMPONENTS, 2))
CHOOSING_PAIR = ("tales-neox", "novelas-mamba")
KINDS = ("linear", "mlp", "low-rank")
N_BLOCKS, SEQ_LEN, BATCH_SIZE = 4, 64, 8
STEPS = (0, 8, 32, 128)
RATES = (1e-3, 3e-3)
CHOOSING_SEED, SEEDS, SEQUENCES = 100, (0, 1, 2), 128
CHARACTERS = 1_200_000
"""Of the text."""


def main() -> None:
    """Choose, measure, print and save."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    setup: dict[str, Any] = {"pairs": PAIRS, "kinds": KINDS, "n_blocks": N_BLOCKS}
    setup |= {"seq_len": SEQ_LEN, "batch_size": BATCH_SIZE, "steps": STEPS, "rates": RATES}
    setup |= {"characters": CHARACTERS, "test_sequences": SEQUENCES}
    setup |= {"seeds": SEEDS, "choosing_seed": CHOOSING_SEED}
    rows = []
    with Trials("projector_tokens", setup) as trials:
        rates = {kind: _rate(trials, kind) for kind in KINDS}
        # All pairs with one seed first: what is there early is then as wide as it can be.
        found: dict[tuple[str, tuple[str, str]], list[dict[str, Any]]] = {}
        for seed in SEEDS:
            for pair in PAIRS:
                for kind in KINDS:
                    one = trials.measure(
                        f"{kind} {'+'.join(pair)} {seed}",
                        partial(_losses, pair, kind, rates[kind], seed),
                    )
                    found.setdefault((kind, pair), []).append(one)
        rows = [_row(kind, pair, by_seed) for (kind, pair), by_seed in found.items()]
        told = {kind: _by_similarity(kind, rows) for kind in KINDS}
        _print(rows)
        print(told)
        setup |= {"learning_rates": rates, "processors": trials.processors}
        record = {"setup": setup, "rows": rows, "by_similarity": told}
        print(save_results("projector_tokens", record))
        trials.forget()


def _rate(trials: Trials, kind: str) -> float:
    tried = trials.at_rates(
        f"{kind} at",
        RATES,
        lambda rate: _losses(CHOOSING_PAIR, kind, rate, CHOOSING_SEED, to_choose=True)["losses"][
            -1
        ],
    )
    return best_of(tried)


@cache
def _text() -> TextData:
    """Documents of the three kinds in any order, as much of each as of the others."""
    streams = [
        generate_stories(language, n_stories=20_000, seed=3, stream="projectors")
        for language in ("en", "es")
    ]
    documents = []
    for stream in (*streams, python_modules("train")):
        left = CHARACTERS // 3
        for document in stream:
            documents.append(document[:left])
            left -= len(documents[-1])
            if left <= 0:
                break
    np.random.default_rng(3).shuffle(documents)
    file = CACHE / "texts" / "general.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n\n".join(documents), encoding="utf-8")
    tokenizer = mc.load_component(f"zoo:{COMPONENTS[0]}").tokenizer
    return mc.load_text(Path(file), tokenizer=tokenizer, seq_len=SEQ_LEN, valid_fraction=0.2)


def _held_out(*, to_choose: bool) -> Subset:
    valid = _text().valid
    half = len(valid) // 2
    first = 0 if to_choose else half
    return Subset(valid, [first + i * half // SEQUENCES for i in range(SEQUENCES)])


def _losses(
    pair: tuple[str, str], kind: str, rate: float, seed: int, *, to_choose: bool = False
) -> dict[str, Any]:
    """Held-out losses after so many steps, and the alignment error before the first."""
    sources = [f"zoo:{name}" for name in pair]
    hybrid = mc.build_hybrid(sources, N_BLOCKS, projector=kind, seed=seed)
    held_out = _held_out(to_choose=to_choose)
    ids = torch.stack([held_out[i]["input_ids"] for i in range(SEQUENCES // 2)])
    error = float(alignment_error(hybrid, ids).into.mean())
    losses = [_loss(hybrid, held_out)]

    def measure(step: int, loss: float) -> None:
        if step in STEPS:
            losses.append(_loss(hybrid, held_out))
            hybrid.train()

    options = SearchConfig(
        strategy="fixed",
        steps=STEPS[-1],
        batch_size=BATCH_SIZE,
        component_lr=0,
        projector_lr=rate,
        warmup_steps=0,
        projector_schedule="constant",
    )
    seconds = search_text(hybrid, options, _text().train, seed, measure)
    return {"losses": losses, "error_into": round(error, 4), "seconds": round(seconds, 1)}


def _loss(hybrid: ManticoreForCausalLM, text: Subset) -> float:
    return round(mean_loss(hybrid.eval(), text, batch_size=32), 5)


def _row(kind: str, pair: tuple[str, str], by_seed: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"projector": kind, "pair": "+".join(pair)}
    row["error_into"] = round(mean(one["error_into"] for one in by_seed), 4)
    for index, steps in enumerate(STEPS):
        losses = [one["losses"][index] for one in by_seed]
        tokens = steps * BATCH_SIZE * SEQ_LEN
        row[f"loss_{tokens}"] = round(mean(losses), 3)
        row[f"spread_{tokens}"] = round(stdev(losses), 3)
        if 0 < steps < STEPS[-1]:
            left = [
                (one["losses"][index] - one["losses"][-1]) / (one["losses"][0] - one["losses"][-1])
                for one in by_seed
            ]
            row[f"left_{tokens}"] = round(mean(left), 3)
    return row | {"by_seed": by_seed}


def _by_similarity(kind: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Rank correlation, over pairs, of what is left after the second measurement with the error."""
    errors = {row["pair"]: row["error_into"] for row in rows if row["projector"] == KINDS[0]}
    own = [row for row in rows if row["projector"] == kind]
    key = f"left_{STEPS[-2] * BATCH_SIZE * SEQ_LEN}"
    both = (
        torch.tensor([errors[row["pair"]] for row in own]),
        torch.tensor([row[key] for row in own]),
    )
    return {
        "rank_correlation": round(rank_correlation(*both), 3),
        "by_chance": round(by_chance(*both, rank_correlation), 3),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    columns = [name for name in rows[0] if name != "by_seed" and not name.startswith("spread")]
    table = Table(*columns, title="Held-out loss in nats per token")
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()

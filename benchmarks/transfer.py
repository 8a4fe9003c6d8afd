"""What tells beforehand whether mixture weights from MAD tasks suit a text?

`benchmarks.programming` has measured what programmed mixture weights are worth after fine-tuning,
against even ones: one pair on five texts, and five more pairs on one of them, three seeds each. The
gain is the difference of log perplexity. Here, guides that could have told it are computed from the
tasks, the training text, and the half of the held-out text that is not measured on:

- `trust`: agreement of the programmed order of blocks with that of the tasks weighted as they are
  in the text;
- `start`: how much lower the loss is at the programmed mixture weights before any training, the
  projectors fitted at each;
- `gradient`: the first-order gain of moving from even to programmed mixture weights, the cosine
  between that move and the negative gradient of the training loss at even ones;
- `gradient, 20 steps`: the same after 20 steps of fine-tuning at even mixture weights;
- `20 steps`: how much lower the loss is after 20 steps of fine-tuning at each;
- `better alone`: the mean mixture weight that programming gives to the component with the lower
  loss alone, above one half.

For each: its rank correlation with the gain over the ten targets (and the share of all orders that
reach it, as some come by chance), how often its sign is that of the gain, and the gain of whoever
follows it: programmed mixture weights where it is above zero, otherwise even ones.

    python -m benchmarks.transfer --folder FOLDER

FOLDER is that of `benchmarks.programming`. If it is interrupted, the benchmark continues with the
guides that are computed.
"""

import argparse
import json
from functools import partial
from itertools import islice
from math import log
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import Dataset, Subset

import manticore as mc
from benchmarks.harness import RESULTS, Trials, save_results
from benchmarks.programming import BATCH_SIZE, HELD_OUT, N_BLOCKS, SEEDS, SEQ_LEN, TEXTS
from benchmarks.searching import search_text
from manticore.config.search import SearchConfig
from manticore.data import TextData
from manticore.evaluate import mean_loss
from manticore.hybrid import ManticoreForCausalLM
from manticore.programming.trust import by_chance, rank_correlation

FEW_STEPS, LOOKED_AT, GRADIENT_BATCHES = 20, 64, 8
"""Steps of fine-tuning, held-out sequences that a loss is taken on, and training batches that a
gradient is."""
GUIDES = ("trust", "better alone", "start", "gradient", "gradient, 20 steps", "20 steps")


def main() -> None:
    """Compute, compare, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder of the texts")
    folder = parser.parse_args().folder.resolve()
    setup: dict[str, Any] = {"few_steps": FEW_STEPS, "sequences": LOOKED_AT}
    setup |= {"gradient_batches": GRADIENT_BATCHES, "seeds": SEEDS}
    measured = []
    with Trials("transfer", setup) as trials:
        for file in sorted(RESULTS.glob("programming*.json")):
            table = json.loads(file.read_text())
            pair = tuple(table["setup"]["components"])
            for text, found in table["measured"].items():
                target = Target(pair, _source(text, folder))
                rate = found["component_lr"]["hybrid"]
                for seed, trust in zip(SEEDS, found["trust"], strict=True):
                    guides = trials.measure(
                        f"{'+'.join(pair)} {text} {seed}",
                        partial(target.guides, table["programming"][str(seed)], rate, seed),
                    )
                    gain = _gain(found["by_seed"][seed]["perplexity"])
                    one = {"pair": "+".join(pair), "text": text, "seed": seed, "gain": gain}
                    measured.append(one | {"trust": trust} | guides)
        rows = [_row(name, measured) for name in GUIDES]
        rows += [_row(name, measured) for name in ("always even", "always programmed")]
        _print(rows)
        setup["processors"] = trials.processors
        print(save_results("transfer", {"setup": setup, "rows": rows, "measured": measured}))
        trials.forget()


def _source(text: str, folder: Path) -> str:
    source = TEXTS[text]
    return source if source.startswith("bundled:") else str(folder / source)


def _gain(perplexity: dict[str, float]) -> float:
    """Of programmed over even mixture weights, in nats per token."""
    return round(log(perplexity["even"] / perplexity["programmed"]), 4)


class Target:
    """A pair and a text."""

    def __init__(self, pair: tuple[str, ...], source: str) -> None:
        self.pair = pair
        tokenizer = mc.load_component(pair[0]).tokenizer
        self.data: TextData = mc.load_text(
            source, tokenizer=tokenizer, seq_len=SEQ_LEN, valid_fraction=HELD_OUT
        )
        n = min(len(self.data.valid) // 2, LOOKED_AT)
        self.looked_at: Dataset = Subset(self.data.valid, range(n))

    def guides(self, programming: dict[str, Any], rate: float, seed: int) -> dict[str, float]:
        """All guides but trust, for what the tasks have found with a seed."""
        programmed = torch.tensor(programming["programmed"])
        even, other = self._built(None, seed), self._built(programmed, seed)
        found = {"better alone": self._on_the_better(even, programmed)}
        found["start"] = self._loss(even) - self._loss(other)
        found["gradient"] = self._first_order(even, programmed)
        for hybrid in (even, other):
            self._fine_tune(hybrid, rate, seed)
        found["20 steps"] = self._loss(even) - self._loss(other)
        found["gradient, 20 steps"] = self._first_order(even, programmed)
        return {name: round(value, 4) for name, value in found.items()}

    def _built(self, alpha: torch.Tensor | None, seed: int) -> ManticoreForCausalLM:
        return mc.build_hybrid(list(self.pair), N_BLOCKS, mixture_weights=alpha, seed=seed)

    def _loss(self, hybrid: ManticoreForCausalLM) -> float:
        return mean_loss(hybrid.eval(), self.looked_at, batch_size=16)

    def _on_the_better(self, hybrid: ManticoreForCausalLM, programmed: torch.Tensor) -> float:
        """Share of the component that is better alone, above one half."""
        alone = []
        for k in range(len(self.pair)):
            component = mc.build_hybrid([self.pair[k]], N_BLOCKS)
            alone.append(self._loss(component))
        return float(programmed.mean(dim=0)[alone.index(min(alone))]) - 1 / len(self.pair)

    def _first_order(self, hybrid: ManticoreForCausalLM, programmed: torch.Tensor) -> float:
        """Cosine of the move to the programmed weights and the way that the loss falls."""
        alpha = hybrid.mixture_weights.requires_grad_()
        train = self.data.train
        batches = (
            torch.stack([train[i + j]["input_ids"] for j in range(BATCH_SIZE)])
            for i in range(0, len(train) - BATCH_SIZE, BATCH_SIZE)
        )
        for ids in islice(batches, GRADIENT_BATCHES):
            loss = hybrid(ids, labels=ids, use_cache=False, mixture_weights=alpha).loss
            alpha.grad = _added(alpha.grad, torch.autograd.grad(loss, alpha)[0])
        assert alpha.grad is not None
        move = programmed - alpha.detach()
        # Along the simplex: what all components of a block have in common is not a move.
        fall = -(alpha.grad - alpha.grad.mean(dim=1, keepdim=True))
        return float((move * fall).sum() / (move.norm() * fall.norm()).clamp_min(1e-12))

    def _fine_tune(self, hybrid: ManticoreForCausalLM, rate: float, seed: int) -> None:
        options = SearchConfig(
            strategy="fixed", steps=FEW_STEPS, batch_size=BATCH_SIZE, component_lr=rate
        )
        search_text(hybrid, options, self.data.train, seed)
        hybrid.eval()


def _added(total: torch.Tensor | None, one: torch.Tensor) -> torch.Tensor:
    return one if total is None else total + one


def _row(guide: str, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """How well a guide tells the gain."""
    targets = sorted({(one["pair"], one["text"]) for one in measured})
    if guide.startswith("always"):
        told = [1.0 if guide == "always programmed" else -1.0] * len(measured)
    else:
        told = [one[guide] for one in measured]
    gains = [one["gain"] for one in measured]
    followed = [gain if says > 0 else 0.0 for says, gain in zip(told, gains, strict=True)]
    by_seed = [
        mean(own for own, one in zip(followed, measured, strict=True) if one["seed"] == seed)
        for seed in SEEDS
    ]
    row: dict[str, Any] = {
        "guide": guide,
        "right": mean((says > 0) == (gain > 0) for says, gain in zip(told, gains, strict=True)),
        "gain": round(mean(by_seed), 4),
        "spread": round(stdev(by_seed), 4),
    }
    if guide.startswith("always"):
        return row

    def means(values: list[float]) -> torch.Tensor:
        return torch.tensor(
            [
                mean(
                    value
                    for value, one in zip(values, measured, strict=True)
                    if (one["pair"], one["text"]) == target
                )
                for target in targets
            ]
        )

    both = means(told), means(gains)
    row["rank_correlation"] = round(rank_correlation(*both), 3)
    row["by_chance"] = round(by_chance(*both, rank_correlation), 3)
    return row


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("guide", "rank_correlation", "by_chance", "right", "gain", "spread")
    table = Table(*columns, title="Guides to what programming is worth after fine-tuning")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()

"""Does a hybrid read Spanish with its early blocks and write English with its late ones?

Components that know one language each learn to translate: after a sentence of a story in Spanish
comes its translation, and only that counts for the loss. A reader of Spanish is wanted first and a
writer of English last, so a search might give the early blocks to the Spanish component and the
late ones to the English one.

The hybrid, whose mixture weights are searched, is compared with each component alone after as many
steps, with the English one after twice as many, which cost as much, and with the order that the
idea asks for: blocks 1 and 2 all Spanish component, blocks 3 and 4 all English. Learning rates are
those that were best for the same components and for their hybrid in `benchmarks.bilingual`.

    python -m benchmarks.translating

If it is interrupted, the benchmark continues with the trainings that are done.
"""

import argparse
import re
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import islice
from statistics import mean, stdev
from typing import Any, cast

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

import manticore as mc
from benchmarks.harness import Trials, save_results
from benchmarks.parallel_stories import content_words, sentences
from benchmarks.searching import search_here
from manticore.config.search import SearchConfig
from manticore.data.packing import IGNORED
from manticore.evaluate import mean_loss
from manticore.hybrid import ManticoreForCausalLM
from manticore.names import STRATEGIES
from manticore.search.held_out import hold_out

ENGLISH, SPANISH = "zoo:tales-neox", "zoo:novelas-mamba"
N_BLOCKS, GATE, SEQ_LEN, BATCH_SIZE, STEPS = 4, "flat", 96, 6, 150
MIXTURE_LR = 0.1
N_TRAIN, N_TEST, N_TRANSLATED, MOST_TOKENS = 3000, 200, 60, 48
SEEDS = (0, 1, 2)
SEPARATOR = "\n\n"


@dataclass(frozen=True)
class Way:
    """One way to translate.

    Attributes:
        components: Sources.
        rate: Learning rate of the components.
        steps: Optimizer steps.
        search: Whether mixture weights are searched; one component alone has none.
        mixture_weights: Fixed mixture weights; none if they are searched or there is one component.
    """

    components: tuple[str, ...] = (ENGLISH, SPANISH)
    rate: float = 2e-3
    steps: int = STEPS
    search: bool = False
    mixture_weights: tuple[tuple[float, float], ...] | None = None


WAYS = {
    "English component": Way((ENGLISH,), 4e-3),
    "searched": Way(search=True),
    "Spanish component": Way((SPANISH,), 4e-3),
    "English component, twice the steps": Way((ENGLISH,), 4e-3, 2 * STEPS),
    "Spanish blocks, then English": Way(mixture_weights=((0.0, 1.0),) * 2 + ((1.0, 0.0),) * 2),
}


def main() -> None:
    """Measure, print and save."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with Trials("translating", _setup()) as trials:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
        for seed in SEEDS:
            for name, way in WAYS.items():
                trial = partial(_train, way, seed)
                found[name].append(trials.measure(f"{name} {seed}", trial))
        rows = [_row(name, by_seed) for name, by_seed in found.items()]
        _print(rows)
        setup = _setup() | {"seeds": SEEDS, "processors": trials.processors}
        print(save_results("translating", {"setup": setup, "rows": rows}))
        trials.forget()


def _setup() -> dict[str, Any]:
    return {
        "n_blocks": N_BLOCKS,
        "seq_len": SEQ_LEN,
        "batch_size": BATCH_SIZE,
        "mixture_lr": MIXTURE_LR,
        "gate": GATE,
        "training_sequences": N_TRAIN,
        "test_sequences": N_TEST,
        "translated": N_TRANSLATED,
        "ways": {name: asdict(way) for name, way in WAYS.items()},
    }


@cache
def _tokenizer() -> PreTrainedTokenizerBase:
    return mc.load_component(ENGLISH).tokenizer


@cache
def _sequences(stream: str, n: int) -> list[dict[str, torch.Tensor]]:
    """Sequences of as many whole pairs as fit, `input_ids` and `labels` (SEQ_LEN,) each.

    Args:
        stream: Name of independent tales.
        n: Number of sequences.
    """
    tokenizer = _tokenizer()
    end = tokenizer.eos_token_id
    made: list[dict[str, torch.Tensor]] = []
    ids: list[int] = []
    labels: list[int] = []
    pairs = sentences(stream)
    while len(made) < n:
        spanish, english = next(pairs)
        given = tokenizer.encode(spanish + SEPARATOR)
        wanted = [*tokenizer.encode(english), end]
        if len(ids) + len(given) + len(wanted) > SEQ_LEN:
            rest = SEQ_LEN - len(ids)
            both = (ids + [end] * rest, labels + [IGNORED] * rest)
            made.append(dict(zip(("input_ids", "labels"), map(torch.tensor, both), strict=True)))
            ids, labels = [], []
        ids += given + wanted
        labels += [IGNORED] * len(given) + wanted
    return made


def _train(way: Way, seed: int) -> dict[str, Any]:
    """Loss and translations of held-out tales, and the mixture weights, after one training."""
    hybrid = mc.build_hybrid(list(way.components), N_BLOCKS, gate=GATE, seed=seed)
    if way.mixture_weights is not None:
        hybrid.set_mixture_weights(way.mixture_weights)
    given: dict[str, Any] = {"strategy": "fixed"}
    if way.search:
        given = {"strategy": "darts", "mixture_lr": MIXTURE_LR}
    options = SearchConfig(steps=way.steps, batch_size=BATCH_SIZE, component_lr=way.rate, **given)
    strategy = STRATEGIES.load(options.strategy)(options, seed)
    strategy.begin(hybrid)
    data = _sequences("train", N_TRAIN)
    learned_from, held_out = hold_out(data, options.held_out, seed, BATCH_SIZE)
    seconds = search_here(hybrid, strategy, options, learned_from, held_out, seed)
    hybrid.eval()
    # torch's type says Dataset, and it takes whatever has an index.
    test = cast(Dataset, _sequences("test", N_TEST))
    loss = mean_loss(hybrid, test, batch_size=20)
    alpha = [[round(weight, 4) for weight in row] for row in hybrid.mixture_weights.tolist()]
    return {
        "loss": round(loss, 5),
        **_translated(hybrid),
        "alpha": alpha,
        "seconds": round(seconds),
    }


@torch.no_grad()
def _translated(hybrid: ManticoreForCausalLM) -> dict[str, Any]:
    """Greedy translations: share of content words that are in them, and of those that are exact."""
    pairs = list(islice(sentences("translated"), N_TRANSLATED))
    tokenizer = hybrid.tokenizer
    assert tokenizer is not None
    prompts = [pair.spanish + SEPARATOR for pair in pairs]
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    length = batch["input_ids"].shape[1]
    ids = hybrid.generate(**batch, max_new_tokens=MOST_TOKENS, do_sample=False)
    written = tokenizer.batch_decode(ids[:, length:], skip_special_tokens=True)
    asked = right = 0
    for pair, text in zip(pairs, written, strict=True):
        words = set(re.findall(r"\w+", text))
        wanted = [word for word in re.findall(r"\w+", pair.english) if word in content_words()]
        asked += len(wanted)
        right += sum(word in words for word in wanted)
    exact = sum(text.strip() == pair.english for pair, text in zip(pairs, written, strict=True))
    return {
        "words": round(right / asked, 4),
        "exact": round(exact / len(pairs), 4),
        "example": {"given": pairs[0].spanish, "right": pairs[0].english, "written": written[0]},
    }


def _row(name: str, by_seed: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name}
    for key in ("loss", "words", "exact"):
        values = [one[key] for one in by_seed]
        row[key] = round(mean(values), 3)
        if len(values) > 1:
            row[f"{key}_spread"] = round(stdev(values), 3)
    row["seconds"] = round(mean(one["seconds"] for one in by_seed))
    if len(by_seed[0]["alpha"][0]) > 1:
        row["spanish_weights"] = [
            round(mean(one["alpha"][b][1] for one in by_seed), 3) for b in range(N_BLOCKS)
        ]
    return {**row, "by_seed": by_seed}


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table("", "loss", "content words", "exact", "seconds", "Spanish component's weights")
    for row in rows:
        cells = ("name", "loss", "words", "exact", "seconds", "spanish_weights")
        table.add_row(*(str(row.get(cell, "")) for cell in cells))
    Console().print(table)


if __name__ == "__main__":
    main()

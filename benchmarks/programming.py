"""The whole loop: MAD tasks, mixture weights, a programmed hybrid, and what it is worth on a text.

Mixture weights are searched on MAD tasks, combined and carried to the hybrid, which is fine-tuned
on each text with them frozen. Beside it: mixture weights searched on the text itself, even ones,
and each component alone, all fine-tuned with the same data and steps, each model at the best
learning rate of one grid, which was tried on a seed of its own (the hybrid at even weights).

How far programming agrees with a direct search is `manticore.mad.trust.agreement` of their mixture
weights: about the blocks, with 0 for chance. Beside it stand how far direct searches of different
seeds agree with each other, which is the most that can be hoped for; how often both prefer the same
component over all; and what `manticore.mad.trust` says from the tasks and the text alone.

    python -m benchmarks.programming --folder FOLDER

FOLDER has tales_en.valid.txt, novels_es.valid.txt, shakespeare.txt and wikitext2.valid.txt; without
it, only the bundled text is measured. If it is interrupted, the benchmark goes on with the
trainings that are done.
"""

import argparse
import shutil
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import manticore as mc
from benchmarks.harness import RESULTS, Cells, save_results
from manticore.mad import TASKS
from manticore.mad.trust import agreement, alphas_by_task, rank_correlation, trust_on

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
SEQ_LEN, BATCH_SIZE, STEPS, N_BLOCKS, EVAL_BATCHES = 128, 4, 200, 4, 40
HELD_OUT = 0.2
"""Share of each text; what is measured on are the first `EVAL_BATCHES` batches of it."""
RATES, MIXTURE_LR, TASK_STEPS = (5e-4, 1e-3, 2e-3, 4e-3), 0.1, 100
TUNING_SEED, SEEDS = 100, (0, 1, 2)
TEXTS = {
    "stories-mixed": "bundled:stories-mixed",
    "English tales": "tales_en.valid.txt",
    "Spanish novels": "novels_es.valid.txt",
    "Shakespeare": "shakespeare.txt",
    "WikiText-2": "wikitext2.valid.txt",
}
RUNS = RESULTS.parent.parent / ".cache"
"""The trainings, until the table is complete."""


def main() -> None:
    """Program, search, fine-tune, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="of the texts that are not bundled")
    parser.add_argument("--pair", nargs=2, default=PAIR, help="two components")
    given = parser.parse_args()
    pair = tuple(given.pair)
    setup = {"components": pair, "seq_len": SEQ_LEN, "batch_size": BATCH_SIZE, "steps": STEPS}
    setup |= {"task_steps": TASK_STEPS, "component_lr": RATES, "mixture_lr": MIXTURE_LR}
    setup |= {"seeds": SEEDS, "tuning_seed": TUNING_SEED, "n_blocks": N_BLOCKS}
    setup |= {"tasks": list(TASKS), "preset": "quick", "held_out": HELD_OUT}
    name = "programming-" + "+".join(component.removeprefix("zoo:") for component in pair)
    name = "programming" if pair == PAIR else name
    cells, root = Cells(name, setup), RUNS / name
    rows, agreements, measured = [], [], {}
    for text, source in _texts(given.folder).items():
        rates = _tuned(cells, root, pair, text, source)
        by_seed = [
            cells.measure(
                f"{text}, seed {seed}", partial(_measured, root, pair, source, rates, seed)
            )
            for seed in SEEDS
        ]
        measured[text] = {"component_lr": rates, "by_seed": by_seed}
        rows += table_rows(text, by_seed)
        agreements.append({"text": text, **_agreements(pair, source, by_seed)})
    for title, table in (("Fine-tuned", rows), ("Agreement with a direct search", agreements)):
        _print(title, table)
    told = _told(agreements)
    print(f"rank correlation of trust and agreement over {len(agreements)} texts: {told}")
    setup |= {"processors": cells.processors}
    record = {"rows": rows, "agreement": agreements, "trust_and_agreement": told}
    print(save_results(name, {"setup": setup, **record, "measured": measured}))
    cells.forget()
    shutil.rmtree(root, ignore_errors=True)


def _texts(folder: Path | None) -> dict[str, str]:
    """Name and source of every text that is there."""
    bundled = {name: text for name, text in TEXTS.items() if text.startswith("bundled:")}
    if folder is None:
        return bundled
    return {
        name: text if name in bundled else str(folder.resolve() / text)
        for name, text in TEXTS.items()
    }


def _base(source: str, seed: int) -> dict[str, Any]:
    data = {"source": source, "seq_len": SEQ_LEN, "valid_fraction": HELD_OUT}
    return {"n_blocks": N_BLOCKS, "seed": seed, "data": data}


def _tuned(
    cells: Cells, root: Path, pair: tuple[str, ...], text: str, source: str
) -> dict[str, float]:
    """The learning rate of each model that is best for the text."""

    def perplexity_at(components: tuple[str, ...], rate: float) -> float:
        stages = {"finetune": _options(rate)}
        done = _done(root, components=components, stages=stages, **_base(source, TUNING_SEED))
        return done["perplexity"]

    contestants = {"hybrid": pair, **{component: (component,) for component in pair}}
    rates = {}
    for name, components in contestants.items():
        tried = cells.at_rates(f"{text}, {name} at", RATES, partial(perplexity_at, components))
        rates[name] = min(tried, key=tried.get)
    return rates


def _measured(
    root: Path, pair: tuple[str, ...], source: str, rates: dict[str, float], seed: int
) -> dict[str, Any]:
    """Perplexity by the way that mixture weights came about, and the mixture weights."""
    base = _base(source, seed)
    program = {"steps": TASK_STEPS, "mixture_lr": MIXTURE_LR}
    tasks = _done(root, components=pair, stages={"program": program}, **base)
    search = _options(rates["hybrid"]) | {"mixture_lr": MIXTURE_LR}
    searched = _done(root, components=pair, stages={"search": search}, **base)["mixture_weights"]
    ways = {
        "programmed": (pair, tasks["mixture_weights"], rates["hybrid"]),
        "searched on the text": (pair, searched, rates["hybrid"]),
        "even": (pair, None, rates["hybrid"]),
        **{
            f"{component.removeprefix('zoo:')} alone": ((component,), None, rates[component])
            for component in pair
        },
    }
    perplexity = {
        way: _done(
            root,
            components=components,
            mixture_weights=alpha,
            stages={"finetune": _options(rate)},
            **base,
        )["perplexity"]
        for way, (components, alpha, rate) in ways.items()
    }
    found = {"perplexity": perplexity, "searched": searched, "tasks": tasks["tasks"]}
    return found | {"programmed": tasks["mixture_weights"]}


def _done(root: Path, **recipe: Any) -> dict[str, Any]:
    """What the last stage of a recipe measured, now or before."""
    return mc.run_recipe(mc.Recipe(**recipe), root=root)[-1].metrics()


def _options(rate: float) -> dict[str, Any]:
    options = {"steps": STEPS, "batch_size": BATCH_SIZE, "component_lr": rate}
    options |= {"eval_every": STEPS, "eval_batches": EVAL_BATCHES, "checkpoint_every": STEPS}
    return options | {"sample_prompt": ""}


def table_rows(text: str, by_seed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Perplexity of each way, over seeds; and how far it is from even mixture weights, by pairs.

    Seeds decide the order of the text for all ways alike, so a difference is taken seed by seed.
    """
    rows = []
    for way in by_seed[0]["perplexity"]:
        values = [measured["perplexity"][way] for measured in by_seed]
        apart = [
            value - measured["perplexity"]["even"]
            for value, measured in zip(values, by_seed, strict=True)
        ]
        rows.append(
            {
                "text": text,
                "mixture weights": way,
                "perplexity": round(mean(values), 4),
                "spread": round(stdev(values), 4),
                "above even": f"{mean(apart):.3f} ± {stdev(apart):.3f}",
                "by_seed": [round(value, 4) for value in values],
            }
        )
    return rows


def _agreements(
    pair: tuple[str, ...], source: str, by_seed: list[dict[str, Any]]
) -> dict[str, Any]:
    """`agreement_row` of a text, with what was to be expected of it."""
    tokenizer = mc.build_hybrid([pair[0]], N_BLOCKS).tokenizer
    text = mc.load_text(source, tokenizer=tokenizer, seq_len=SEQ_LEN, valid_fraction=HELD_OUT)
    made_of = dict.fromkeys(TASKS, 1.0)
    trusts = [trust_on(seed["tasks"], made_of, text.train, text.vocabulary) for seed in by_seed]
    tested = min(len(text.valid), EVAL_BATCHES * BATCH_SIZE) * SEQ_LEN
    row = {"test_tokens": tested, "trust": [round(seed.agreement, 3) for seed in trusts]}
    row |= agreement_row(by_seed)
    return row | {f"skill {task}": round(v, 3) for task, v in trusts[0].skills.items()}


def agreement_row(by_seed: list[dict[str, Any]]) -> dict[str, Any]:
    """Agreement of programmed mixture weights, and of each task's, with those searched directly.

    Args:
        by_seed: Two or more, each with `searched` and `programmed` (N, K) and `tasks`.
    """
    searched = [torch.tensor(seed["searched"]) for seed in by_seed]
    programmed = [torch.tensor(seed["programmed"]) for seed in by_seed]
    by_task = [alphas_by_task(seed["tasks"]) for seed in by_seed]
    found = {"programmed": programmed}
    found |= {task: [seed[task] for seed in by_task] for task in by_task[0]}
    pairs = {name: list(zip(own, searched, strict=True)) for name, own in found.items()}
    same = [
        one.mean(dim=0).argmax() == other.mean(dim=0).argmax() for one, other in pairs["programmed"]
    ]
    return {
        "searched twice": round(mean(agreement(*two) for two in combinations(searched, 2)), 3),
        "same component": round(sum(map(int, same)) / len(same), 2),
        "programmed": [round(agreement(*two), 3) for two in pairs.pop("programmed")],
        **{task: round(mean(agreement(*two) for two in own), 3) for task, own in pairs.items()},
    }


def _told(agreements: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Whether trust tells agreement, over texts: of means over seeds, and seed by seed."""
    if len(agreements) < 3:
        return None
    named = [[row[name] for row in agreements] for name in ("trust", "programmed")]
    of_means = rank_correlation(*(torch.tensor([mean(own) for own in rows]) for rows in named))
    each = [
        rank_correlation(*(torch.tensor([own[seed] for own in rows]) for rows in named))
        for seed in range(len(SEEDS))
    ]
    return {"of_means": round(of_means, 3), "by_seed": [round(value, 3) for value in each]}


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    columns = [name for name in rows[0] if name != "by_seed"]
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()

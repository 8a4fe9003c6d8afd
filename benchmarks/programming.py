"""The whole loop: MAD tasks, mixture weights, a programmed hybrid, and what it is worth on a text.

Mixture weights are searched on MAD tasks, combined and carried to the hybrid, which is fine-tuned
on each text with them frozen. Beside it: mixture weights searched on the text itself, even ones,
and each component alone, all fine-tuned with the same data and steps. How far programming agrees
with a direct search is the rank correlation of their mixture weights over blocks and seeds; beside
it stands what `manticore.mad.trust` says of it, from the tasks and the text alone.

    python -m benchmarks.programming --folder FOLDER

FOLDER has tales_en.valid.txt, novels_es.valid.txt, shakespeare.txt and wikitext2.valid.txt; without
it, only the bundled text is measured. If it is interrupted, the benchmark goes on with the
trainings that are done.
"""

import argparse
import shutil
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import manticore as mc
from benchmarks.harness import RESULTS, Cells, save_results
from manticore.mad import TASKS
from manticore.mad.trust import alphas_by_task, rank_correlation, trust_on

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
SEQ_LEN, BATCH_SIZE, STEPS, N_BLOCKS, EVAL_BATCHES = 128, 4, 200, 4, 40
COMPONENT_LR, MIXTURE_LR, TASK_STEPS, SEEDS = 2e-3, 0.1, 100, (0, 1, 2)
TEXTS = {
    "stories-mixed": "bundled:stories-mixed",
    "English tales": "tales_en.valid.txt",
    "Spanish novels": "novels_es.valid.txt",
    "Shakespeare": "shakespeare.txt",
    "WikiText-2": "wikitext2.valid.txt",
}
RUNS = RESULTS.parent.parent / ".cache" / "programming"
"""The trainings, until the table is complete."""


def main() -> None:
    """Program, search, fine-tune, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="of the texts that are not bundled")
    parser.add_argument("--pair", nargs=2, default=PAIR, help="two components")
    given = parser.parse_args()
    pair = tuple(given.pair)
    setup = {"components": pair, "seq_len": SEQ_LEN, "batch_size": BATCH_SIZE, "steps": STEPS}
    setup |= {"task_steps": TASK_STEPS, "component_lr": COMPONENT_LR, "mixture_lr": MIXTURE_LR}
    setup |= {"seeds": SEEDS, "tasks": list(TASKS), "preset": "quick", "n_blocks": N_BLOCKS}
    name = "programming-" + "+".join(component.removeprefix("zoo:") for component in pair)
    name = "programming" if pair == PAIR else name
    cells = Cells(name, setup)
    rows, agreement = [], []
    for text, source in _texts(given.folder).items():
        by_seed = [
            cells.measure(f"{text}, seed {seed}", partial(_measured, pair, source, seed))
            for seed in SEEDS
        ]
        rows += _rows(text, by_seed)
        agreement.append({"text": text, **_agreement(pair, source, by_seed)})
    for title, table in (("Fine-tuned", rows), ("Agreement with a direct search", agreement)):
        _print(title, table)
    told = [[row[name] for row in agreement] for name in ("trust", "programmed")]
    told = rank_correlation(*torch.tensor(told)) if len(agreement) > 2 else None
    print(f"rank correlation of trust and agreement over texts: {told}")
    setup |= {"processors": cells.finish()}
    measured = {"rows": rows, "agreement": agreement, "trust_and_agreement": told}
    print(save_results(name, {"setup": setup, **measured}))
    shutil.rmtree(RUNS, ignore_errors=True)


def _rows(text: str, by_seed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Perplexity of each way, over seeds."""
    rows = []
    for way in by_seed[0]["perplexity"]:
        values = [measured["perplexity"][way] for measured in by_seed]
        measured = {"perplexity": round(mean(values), 4), "spread": round(stdev(values), 4)}
        rows.append({"text": text, "mixture weights": way, **measured})
    return rows


def _texts(folder: Path | None) -> dict[str, str]:
    """Name and source of every text that is there."""
    bundled = {name: text for name, text in TEXTS.items() if text.startswith("bundled:")}
    if folder is None:
        return bundled
    return {
        name: text if name in bundled else str(folder.resolve() / text)
        for name, text in TEXTS.items()
    }


def _measured(pair: tuple[str, ...], source: str, seed: int) -> dict[str, Any]:
    """Perplexity by the way that mixture weights came about, and the mixture weights."""
    base = {"n_blocks": N_BLOCKS, "seed": seed, "data": {"source": source, "seq_len": SEQ_LEN}}
    program = {"steps": TASK_STEPS, "mixture_lr": MIXTURE_LR}
    tasks = _done(components=pair, stages={"program": program}, **base)
    search = _options() | {"mixture_lr": MIXTURE_LR}
    searched = _done(components=pair, stages={"search": search}, **base)["mixture_weights"]
    ways = {
        "programmed": (pair, tasks["combined"]["mean"]),
        "programmed, best task": (pair, tasks["combined"]["best"]),
        "searched on the text": (pair, searched),
        "even": (pair, None),
        **{f"{component.removeprefix('zoo:')} alone": ((component,), None) for component in pair},
    }
    tuned = {"finetune": _options()}
    perplexity = {
        way: _done(components=components, mixture_weights=alpha, stages=tuned, **base)["perplexity"]
        for way, (components, alpha) in ways.items()
    }
    measured = {"perplexity": perplexity, "searched": searched, "tasks": tasks["tasks"]}
    return measured | {"programmed": tasks["combined"]["mean"]}


def _done(**recipe: Any) -> dict[str, Any]:
    """What the last stage of a recipe measured, now or before."""
    return mc.run_recipe(mc.Recipe(**recipe), root=RUNS)[-1].metrics()


def _options() -> dict[str, Any]:
    options = {"steps": STEPS, "batch_size": BATCH_SIZE, "component_lr": COMPONENT_LR}
    options |= {"eval_every": STEPS, "eval_batches": EVAL_BATCHES, "checkpoint_every": STEPS}
    return options | {"sample_prompt": ""}


def _agreement(pair: tuple[str, ...], source: str, by_seed: list[dict[str, Any]]) -> dict[str, Any]:
    """Rank correlations with the direct search, and what was to be expected; means over seeds."""
    tokenizer = mc.build_hybrid([pair[0]], N_BLOCKS).tokenizer
    text = mc.load_text(source, tokenizer=tokenizer, seq_len=SEQ_LEN)
    searched = [torch.tensor(seed["searched"]) for seed in by_seed]
    trusts = [trust_on(seed["tasks"], text.train, text.vocabulary) for seed in by_seed]
    found = [
        alphas_by_task(seed["tasks"]) | {"programmed": torch.tensor(seed["programmed"])}
        for seed in by_seed
    ]
    row = {"trust": mean(seed.agreement for seed in trusts)}
    for task in found[0]:
        pairs = zip(found, searched, strict=True)
        row[task] = mean(rank_correlation(seed[task], alpha) for seed, alpha in pairs)
    return {name: round(value, 3) for name, value in row.items()} | {
        f"skill {task}": round(value, 3) for task, value in trusts[0].skills.items()
    }


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()

"""From MAD tasks through mixture weights to a programmed hybrid, and its perplexity on a text.

Mixture weights are searched on MAD tasks, combined and carried to the hybrid, which is fine-tuned
on each text with them frozen. The baselines are mixture weights searched on the text itself, even
ones, and each component alone, all fine-tuned with the same data and steps; the projectors of each
hybrid are fitted at its mixture weights. The learning rates of the hybrid at even weights and of
each component are the best of a grid, which is extended where its end is best, tried with half of
the steps on a separate seed; the rate at even weights is used at all mixture weights. One half of
the held-out text chooses rates, the other half is measured on.

How far programming agrees with a direct search is the `agreement` (`manticore.programming.trust`)
of their mixture weights on the blocks, 0 for chance, together with the share of all orders of the
blocks that agree as well. The agreement of searches with different seeds, on the text and on the
tasks, tells how much can be expected. Also measured: how often both prefer the same component
overall, and the `trust` that follows from the tasks and the text alone.

    python -m benchmarks.programming --folder FOLDER
    python -m benchmarks.programming stories-mixed --pair zoo:tales-neox zoo:tales-mamba

FOLDER has tales_en.valid.txt, novels_es.valid.txt, shakespeare.txt and wikitext2.valid.txt; without
it, only the bundled text is measured. Each text is added to the table when it is measured, and is
not measured again until the table is removed. An interrupted benchmark continues after the
trainings that are done; searches on tasks, which all texts share, stay in .cache until that is
removed too.
"""

import argparse
import json
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import Subset

import manticore as mc
from benchmarks.harness import RESULTS, Trials, best_of, save_results
from manticore.data import TextData
from manticore.evaluate import perplexity
from manticore.names import TASKS
from manticore.programming.trust import (
    agreement,
    alphas_by_task,
    by_chance,
    rank_correlation,
    trust_on,
)

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
SEQ_LEN, BATCH_SIZE, STEPS, N_BLOCKS = 128, 4, 200, 4
HELD_OUT, MOST_SEQUENCES = 0.2, 160
"""Share of each text that is held out, and how many sequences of each half of it are looked at."""
RATES, MIXTURE_LR, TASK_STEPS = (1e-3, 2e-3, 4e-3), 0.1, 100
TUNING_STEPS, TUNING_SEED, SEEDS = 100, 100, (0, 1, 2)
TEXTS = {
    "stories-mixed": "bundled:stories-mixed",
    "english-tales": "tales_en.valid.txt",
    "spanish-novels": "novels_es.valid.txt",
    "shakespeare": "shakespeare.txt",
    "wikitext2": "wikitext2.valid.txt",
}
RUNS = RESULTS.parent.parent / ".cache"
"""The trainings."""


def main() -> None:
    """Program, search, fine-tune, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="*", help=f"{', '.join(TEXTS)}; all that are there if none")
    parser.add_argument("--folder", type=Path, help="of the texts that are not bundled")
    parser.add_argument("--pair", nargs=2, default=PAIR, help="two components")
    given = parser.parse_args()
    pair = tuple(given.pair)
    name = "programming"
    if pair != PAIR:
        name += "-" + "+".join(component.removeprefix("zoo:") for component in pair)
    setup = {"components": pair, "seq_len": SEQ_LEN, "batch_size": BATCH_SIZE, "steps": STEPS}
    setup |= {"tuning_steps": TUNING_STEPS, "task_steps": TASK_STEPS, "component_lr": RATES}
    setup |= {"mixture_lr": MIXTURE_LR, "seeds": SEEDS, "tuning_seed": TUNING_SEED}
    setup |= {"n_blocks": N_BLOCKS, "tasks": list(TASKS), "preset": "quick", "held_out": HELD_OUT}
    for text, source in _texts(given.text, given.folder).items():
        measured, programming = _measured_before(name, setup)
        if text in measured:
            continue
        with Trials(f"{name}-{text}", setup | {"text": text}) as trials:
            target = Target(trials, RUNS / name, pair, source, programming)
            found = _measure(target)
            found["processors"] = trials.processors
            # Another text may have joined in the meantime.
            measured = _measured_before(name, setup)[0] | {text: found}
            record = {"programming": target.programming, "measured": measured}
            print(save_results(name, {"setup": setup, **tables(**record), **record}))
            trials.forget()
        target.forget()
    measured, programming = _measured_before(name, setup)
    if measured:
        _print(tables(measured, programming))


def _texts(wanted: list[str], folder: Path | None) -> dict[str, str]:
    """Name and source of the texts to measure."""
    unknown = [name for name in wanted if name not in TEXTS]
    if unknown:
        raise SystemExit(f"no text {unknown[0]}: choose of {', '.join(TEXTS)}")
    sources = {
        name: text if text.startswith("bundled:") else folder and str(folder.resolve() / text)
        for name, text in TEXTS.items()
    }
    missing = [name for name in wanted if sources[name] is None]
    if missing:
        raise SystemExit(f"{missing[0]} is not bundled: say where it is with --folder FOLDER")
    return {name: sources[name] for name in wanted or TEXTS if sources[name] is not None}


def _measured_before(name: str, setup: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the table has of the same setup: by text, and by seed what the tasks have found."""
    path = RESULTS / f"{name}.json"
    if path.exists():
        table = json.loads(path.read_text())
        if table["setup"] == json.loads(json.dumps(setup)):
            return table["measured"], table["programming"]
    return {}, {}


class Target:
    """A text, and trainings of one pair's models on it.

    Args:
        trials: What has been measured so far.
        root: Folder of the trainings.
        pair: Two components.
        source: Of the text.
        programming: By seed, what the tasks are known to find, which all texts share.
    """

    def __init__(
        self,
        trials: Trials,
        root: Path,
        pair: tuple[str, ...],
        source: str,
        programming: dict[str, dict[str, Any]],
    ) -> None:
        self.trials, self.root, self.pair, self.programming = trials, root, pair, programming
        self.spec = {"source": source, "seq_len": SEQ_LEN, "valid_fraction": HELD_OUT}
        hybrid = mc.build_hybrid(pair, N_BLOCKS)
        if hybrid.transplants:
            raise SystemExit(
                f"{' and '.join(pair)} have tokenizers of their own: what they reach alone cannot "
                "be compared"
            )
        self.data: TextData = mc.load_text(tokenizer=hybrid.tokenizer, **self.spec)
        n = min(len(self.data.valid) // 2, MOST_SEQUENCES)
        self.tuning = Subset(self.data.valid, range(n))
        self.test = Subset(self.data.valid, range(n, 2 * n))

    def train(
        self,
        seed: int,
        components: tuple[str, ...],
        stage: str,
        options: dict[str, Any],
        alpha: list[list[float]] | None = None,
    ) -> mc.Run:
        """The run of a stage at mixture weights (N, K), even ones if None; now or before."""
        recipe = mc.Recipe(
            components=components,
            n_blocks=N_BLOCKS,
            seed=seed,
            data=self.spec,
            mixture_weights=alpha,
            stages={stage: options},
        )
        (run,) = mc.run_recipe(recipe, root=self.root)
        return run

    def programmed(self, seed: int) -> dict[str, Any]:
        """What the tasks find with this seed: what they come to, and each by itself."""
        if str(seed) not in self.programming:
            options = {"steps": TASK_STEPS, "mixture_lr": MIXTURE_LR}
            metrics = self.train(seed, self.pair, "program", options).metrics()
            found = {"programmed": metrics["mixture_weights"], "tasks": metrics["tasks"]}
            self.programming[str(seed)] = found
        return self.programming[str(seed)]

    def forget(self) -> None:
        """Remove what was trained on this text."""
        for run in mc.runs(self.root):
            if run.config.data.get("source") == self.spec["source"]:
                run.delete()


def _options(rate: float, steps: int = STEPS) -> dict[str, Any]:
    options = {"steps": steps, "batch_size": BATCH_SIZE, "component_lr": rate}
    options |= {"eval_every": steps, "eval_batches": 1, "checkpoint_every": steps}
    return options | {"sample_prompt": ""}


def _measure(target: Target) -> dict[str, Any]:
    """All that is found out about a text: learning rates, seed by seed, and what trust says."""
    rates = _tuned(target)
    by_seed = [
        target.trials.measure(f"seed {seed}", partial(_one_seed, target, rates, seed))
        for seed in SEEDS
    ]
    data = target.data
    trusts = [
        trust_on(found["tasks"], found["programmed"], data.train, data.vocabulary)
        for found in map(target.programmed, SEEDS)
    ]
    return {
        "training_tokens": data.n_tokens,
        "test_tokens": len(target.test) * SEQ_LEN,
        "component_lr": rates,
        "trust": [round(seed.agreement, 3) for seed in trusts],
        "skills": {task: round(share, 3) for task, share in trusts[0].skills.items()},
        "by_seed": by_seed,
    }


def _tuned(target: Target) -> dict[str, float]:
    """The learning rate of each model that is best for the text."""

    def perplexity_at(components: tuple[str, ...], rate: float) -> float:
        options = _options(rate, TUNING_STEPS)
        run = target.train(TUNING_SEED, components, "finetune", options)
        return perplexity(run.hybrid(), target.tuning, batch_size=16)

    contestants = {"hybrid": target.pair, **{one: (one,) for one in target.pair}}
    rates = {}
    for name, components in contestants.items():
        tried = target.trials.at_rates(f"{name} at", RATES, partial(perplexity_at, components))
        rates[name] = best_of(tried)
    return rates


def _one_seed(target: Target, rates: dict[str, float], seed: int) -> dict[str, Any]:
    """Test perplexity by the way that mixture weights came about, and those that were searched."""
    options = {name: _options(rate) for name, rate in rates.items()}
    search = options["hybrid"] | {"mixture_lr": MIXTURE_LR}
    programmed = target.programmed(seed)["programmed"]
    searched = target.train(seed, target.pair, "search", search).metrics()["mixture_weights"]
    mixtures = {"programmed": programmed, "searched on the text": searched}
    tuned = {
        way: target.train(seed, target.pair, "finetune", options["hybrid"], alpha)
        for way, alpha in (mixtures | {"even": None}).items()
    }
    for one in target.pair:
        name = f"{one.removeprefix('zoo:')} alone"
        tuned[name] = target.train(seed, (one,), "finetune", options[one])
    return {
        "perplexity": {
            way: perplexity(run.hybrid(), target.test, batch_size=16) for way, run in tuned.items()
        },
        "searched": searched,
    }


def tables(
    measured: dict[str, dict[str, Any]], programming: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """What is to be seen in measurements by text, and in what tasks have found by seed.

    Perplexities, and agreement with a search.
    """
    rows = [row for text, found in measured.items() for row in table_rows(text, found["by_seed"])]
    by_tasks = [programming[str(seed)] for seed in SEEDS]
    agreements = [
        {"text": text, "trust": found["trust"]}
        | agreement_row(
            [own | tasks for own, tasks in zip(found["by_seed"], by_tasks, strict=True)]
        )
        for text, found in measured.items()
    ]
    told = trust_and_agreement(agreements)
    return {"rows": rows, "agreement": agreements, "trust_and_agreement": told}


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
    programmed_and_searched = pairs.pop("programmed")
    return {
        "searched twice": _among_seeds(searched),
        "programmed twice": _among_seeds(programmed),
        "same component": round(sum(map(int, same)) / len(same), 2),
        "programmed": [round(agreement(*two), 3) for two in programmed_and_searched],
        "as well by chance": [round(by_chance(*two), 3) for two in programmed_and_searched],
        **{task: round(mean(agreement(*two) for two in own), 3) for task, own in pairs.items()},
    }


def _among_seeds(alphas: list[torch.Tensor]) -> float:
    return round(mean(agreement(*two) for two in combinations(alphas, 2)), 3)


def trust_and_agreement(agreements: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Whether trust tells agreement, over three texts or more: of means, and seed by seed.

    `by_chance` is the share of all orders of the texts that would tell the means as well.
    """
    if len(agreements) < 3:
        return None
    named = [[row[name] for row in agreements] for name in ("trust", "programmed")]
    means = [torch.tensor([mean(own) for own in rows]) for rows in named]
    of_means = rank_correlation(*means)
    each = [
        rank_correlation(*(torch.tensor([own[seed] for own in rows]) for rows in named))
        for seed in range(len(SEEDS))
    ]
    return {
        "texts": len(agreements),
        "of_means": round(of_means, 3),
        "by_chance": round(by_chance(*means, rank_correlation), 3),
        "by_seed": [round(value, 3) for value in each],
    }


def _print(found: dict[str, Any]) -> None:
    columns = [column for column in found["rows"][0] if column != "by_seed"]
    table = Table(*columns, title="Fine-tuned: test perplexity")
    for row in found["rows"]:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)
    texts, *rest = zip(*(row.items() for row in found["agreement"]), strict=True)
    table = Table("", *(text for _, text in texts), title="Agreement with a direct search")
    for measure in rest:
        table.add_row(measure[0][0], *(str(value) for _, value in measure))
    Console().print(table)
    print(f"rank correlation of trust and agreement over texts: {found['trust_and_agreement']}")


if __name__ == "__main__":
    main()

"""Does a hybrid of an English and a Spanish component win on text in both languages?

The hybrid and each component alone train on the same stories, in the same order, for as many steps
of the same size, each at the best learning rate of a grid that was tried on a different seed. A
component alone is a hybrid of one, so all of them run the same code.

    python -m benchmarks.bilingual
"""

import argparse
import tempfile
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

import manticore as mc
from benchmarks.harness import best_of, save_results

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
CONTESTANTS = {"hybrid": PAIR, "tales-neox": PAIR[:1], "novelas-mamba": PAIR[1:]}
TEXT = "bundled:stories-mixed"
SEQ_LEN, BATCH_SIZE, STEPS, N_BLOCKS, EVAL_BATCHES = 128, 4, 200, 4, 40
RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
TUNING_SEED, SEEDS = 100, (0, 1, 2)


def main() -> None:
    """Tune, measure, print and save."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = []
    for name, components in CONTESTANTS.items():
        tried = {rate: _train(components, rate, TUNING_SEED)["perplexity"] for rate in RATES}
        best = best_of(tried)
        measured = [_train(components, best, seed) for seed in SEEDS]
        found = [metrics["perplexity"] for metrics in measured]
        rows.append(
            {
                "name": name,
                "component_lr": best,
                "perplexity": round(mean(found), 4),
                "spread": round(stdev(found), 4),
                "by_seed": [round(value, 4) for value in found],
                "tuning": {str(rate): round(value, 4) for rate, value in tried.items()},
            }
        )
        print(rows[-1], flush=True)
    table = Table("", "perplexity", "spread over seeds", "learning rate")
    for row in rows:
        table.add_row(row["name"], *(str(row[k]) for k in ("perplexity", "spread", "component_lr")))
    Console().print(table)
    setup = {"text": TEXT, "seq_len": SEQ_LEN, "batch_size": BATCH_SIZE, "steps": STEPS}
    setup |= {"seeds": SEEDS, "tuning_seed": TUNING_SEED, "held_out_batches": EVAL_BATCHES}
    print(save_results("bilingual", {"setup": setup, "rows": rows}))


def _train(components: Sequence[str], rate: float, seed: int) -> dict[str, Any]:
    """The last evaluation of a training, with the lowest possible loss of the text."""
    hybrid = mc.build_hybrid(list(components), N_BLOCKS)
    data = mc.load_text(TEXT, tokenizer=hybrid.tokenizer, seq_len=SEQ_LEN)
    with tempfile.TemporaryDirectory() as root:
        run = mc.search(
            hybrid,
            data,
            steps=STEPS,
            batch_size=BATCH_SIZE,
            component_lr=rate,
            eval_every=STEPS,
            eval_batches=EVAL_BATCHES,
            checkpoint_every=STEPS,
            sample_prompt="",
            seed=seed,
            root=root,
        ).wait()
        return [event["metrics"] for event in run.events() if event["kind"] == "eval"][-1]


if __name__ == "__main__":
    main()

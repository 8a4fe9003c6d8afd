"""Are projectors better fitted in closed form, or trained by gradient descent?

The projectors of one pair are trained on general text, components frozen, for more and more tokens,
once from random weights, as the paper does, and once from the closed-form fit (`aligned`). Each
initialization has the learning rate that is best after 100,000 tokens. Measured on text that
neither has seen, at even mixture weights: the hybrid's perplexity, and how far the states that the
projectors pass on are from those that each block was trained on (see `alignment_error`).

    python -m benchmarks.projectors
"""

import argparse
import shutil
from typing import Any

import torch
from plotly.subplots import make_subplots
from rich.console import Console
from rich.table import Table

import manticore as mc
from benchmarks.harness import RESULTS, Trials, best_of, save_results
from manticore.data import TextData
from manticore.evaluate import alignment_error, perplexity
from manticore.hybrid import ManticoreForCausalLM

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
TEXT = "bundled:stories-mixed?n_stories=22600"
SEQ_LEN, BATCH_SIZE, N_BLOCKS, SEED = 128, 8, 4, 0
KINDS = ("linear", "mlp")
TOKENS = {
    "random": (0, 10_000, 100_000, 1_000_000, 5_000_000),
    "aligned": (0, 10_000, 100_000, 1_000_000),
}
RATES = {"random": (1e-3, 3e-3, 1e-2), "aligned": (3e-4, 1e-3, 3e-3)}
TUNING_TOKENS, EVAL_BATCHES, ALIGNMENT_SEQUENCES = 100_000, 50, 64
RUNS = RESULTS.parent.parent / ".cache" / "projectors"
"""The trainings, until the table is complete."""


def main() -> None:
    """Train, measure, print, draw and save."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    data = mc.load_text(TEXT, tokenizer=_build("linear", "random").tokenizer, seq_len=SEQ_LEN)
    setup = {"components": PAIR, "text": TEXT, "seq_len": SEQ_LEN, "batch_size": BATCH_SIZE}
    setup |= {"n_blocks": N_BLOCKS, "seeds": [SEED]}
    setup |= {"held_out_tokens": EVAL_BATCHES * BATCH_SIZE * SEQ_LEN}
    with Trials("projectors", setup) as trials:
        rows, rates = _measure(data, trials)
        _print(rows)
        _draw(rows)
        setup |= {"learning_rates": rates, "processors": trials.processors}
        print(save_results("projectors", {"setup": setup, "rows": rows}))
        trials.forget()
    shutil.rmtree(RUNS, ignore_errors=True)


def _measure(data: TextData, trials: Trials) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows of the table, and the learning rate of each kind and initialization."""
    rows, rates = [], {}

    def row(kind: str, start: str, n_tokens: int, rate: float) -> dict[str, Any]:
        # Without training there is no rate.
        trial = f"{kind} {start} {n_tokens}" + f" {rate:g}" * (n_tokens > 0)
        return trials.measure(trial, lambda: _row(data, kind, start, n_tokens, rate))

    for kind in KINDS:
        for start in TOKENS:
            tuning = {rate: row(kind, start, TUNING_TOKENS, rate) for rate in RATES[start]}
            best = best_of({rate: found["perplexity"] for rate, found in tuning.items()})
            rates[f"{kind}, {start}"] = best
            rows += [row(kind, start, n_tokens, best) for n_tokens in TOKENS[start]]
    return rows, rates


def _build(kind: str, start: str) -> ManticoreForCausalLM:
    return mc.build_hybrid(
        list(PAIR), N_BLOCKS, projector=kind, projector_init=start, seed=SEED
    ).eval()


def _row(data: TextData, kind: str, start: str, n_tokens: int, rate: float) -> dict[str, Any]:
    """One projector's errors after training on so many tokens."""
    steps = round(n_tokens / (BATCH_SIZE * SEQ_LEN))
    hybrid = _trained(kind, start, steps, rate) if steps else _build(kind, start)
    ids = torch.stack([data.valid[i]["input_ids"] for i in range(ALIGNMENT_SEQUENCES)])
    error = alignment_error(hybrid, ids)
    found = perplexity(hybrid, data.valid, batch_size=BATCH_SIZE, max_batches=EVAL_BATCHES)
    return {
        "projector": kind,
        "start": start,
        "tokens": n_tokens,
        "perplexity": float(f"{found:.4g}"),
        "error_into": round(float(error.into.mean()), 4),
        "error_out_of": round(float(error.out_of.mean()), 4),
    }


def _trained(kind: str, start: str, steps: int, rate: float) -> ManticoreForCausalLM:
    options = {"steps": steps, "batch_size": BATCH_SIZE, "projector_lr": rate}
    options |= {"eval_every": steps, "eval_batches": 1, "sample_prompt": ""}
    recipe = mc.Recipe(
        components=PAIR,
        n_blocks=N_BLOCKS,
        projector=kind,
        projector_init=start,
        seed=SEED,
        data={"source": TEXT, "seq_len": SEQ_LEN},
        stages={"pretrain-projectors": options | {"checkpoint_every": min(steps, 500)}},
    )
    return mc.run_recipe(recipe, root=RUNS)[-1].hybrid().eval()


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0], title="Projectors at even mixture weights, on held-out text")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


def _draw(rows: list[dict[str, Any]]) -> None:
    """`results/projectors.png`: perplexity and error over tokens of training."""
    measures = {"perplexity": "perplexity", "error_into": "error of what enters a block"}
    figure = make_subplots(cols=2, subplot_titles=list(measures.values()))
    # The logarithmic axis has no zero: no training is drawn one decade before the least.
    places = {n: max(n, 1000) for n in TOKENS["random"]}
    colours = {"random": "#c2410c", "aligned": "#0f766e"}
    for kind, dash in zip(KINDS, ("solid", "dot"), strict=True):
        for start in TOKENS:
            own = [row for row in rows if (row["projector"], row["start"]) == (kind, start)]
            for column, measure in enumerate(measures, start=1):
                figure.add_scatter(
                    x=[places[row["tokens"]] for row in own],
                    y=[row[measure] for row in own],
                    name=f"{kind}, from {start}",
                    line={"color": colours[start], "dash": dash},
                    showlegend=column == 1,
                    row=1,
                    col=column,
                )
    ticks = {"tickvals": list(places.values()), "ticktext": ["0", "10k", "100k", "1M", "5M"]}
    figure.update_xaxes(type="log", title="tokens of training", **ticks)
    figure.update_yaxes(type="log", dtick=1, row=1, col=1)
    figure.update_yaxes(rangemode="tozero", row=1, col=2)
    figure.update_layout(template="plotly_white", width=1100, height=460, margin_t=50)
    RESULTS.mkdir(exist_ok=True)
    figure.write_image(RESULTS / "projectors.png", scale=2)


if __name__ == "__main__":
    main()

"""What does inference cost once components have left the blocks where their weight is zero?

One hybrid of two bundled components at even weights, and the same hybrid pruned to one component a
block, side by side in one process: a forward pass over a batch, and decoding with the cache.

    python -m benchmarks.pruning
"""

import argparse
from collections.abc import Callable

import torch

from benchmarks.harness import as_record, print_timings, save_results, time_side_by_side
from manticore.hybrid import ManticoreForCausalLM, build_hybrid

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
N_BLOCKS, BATCH_SIZE, SEQ_LEN, NEW_TOKENS = 6, 4, 128, 32
ROWS = {
    "both components in every block": [[0.5, 0.5]] * N_BLOCKS,
    "one a block, in turns": [[1.0, 0.0], [0.0, 1.0]] * (N_BLOCKS // 2),
    "GPT-NeoX alone": [[1.0, 0.0]] * N_BLOCKS,
    "Mamba alone": [[0.0, 1.0]] * N_BLOCKS,
}


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    hybrids = {}
    for name, rows in ROWS.items():
        hybrids[name] = build_hybrid(PAIR, N_BLOCKS, projector_init="identity")
        hybrids[name].set_mixture_weights(rows)
    ids = torch.randint(2, 4000, (BATCH_SIZE, SEQ_LEN), generator=torch.Generator().manual_seed(0))
    measured = {}
    for title, make in {"forward pass": _forward, "decoding": _decode}.items():
        timings = time_side_by_side(
            {name: make(hybrid, ids) for name, hybrid in hybrids.items()}, rounds
        )
        print_timings(title, timings)
        measured[title] = as_record(timings)
    setup = {"components": PAIR, "n_blocks": N_BLOCKS, "batch_size": BATCH_SIZE}
    setup |= {"seq_len": SEQ_LEN, "new_tokens": NEW_TOKENS}
    setup |= {"data": "random tokens", "seed": 0, "rounds": rounds}
    print(save_results("pruning", {"setup": setup, **measured}))


def _forward(hybrid: ManticoreForCausalLM, ids: torch.Tensor) -> Callable[[], object]:
    @torch.no_grad()
    def call() -> object:
        return hybrid(ids, use_cache=False)

    return call


def _decode(hybrid: ManticoreForCausalLM, ids: torch.Tensor) -> Callable[[], object]:
    prompt = ids[:1, :16]
    mask = torch.ones_like(prompt)

    def call() -> object:
        return hybrid.generate(
            prompt,
            attention_mask=mask,
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=False,
        )

    return call


if __name__ == "__main__":
    main()

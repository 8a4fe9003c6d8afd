"""What does a search step of a hybrid cost, compared with training steps of its components?

One step (forward, backward, AdamW) of the hybrid of two bundled components with all weights and the
mixture learning, and one of each component alone, side by side in one process.

    python -m benchmarks.step_time
"""

import argparse
from collections.abc import Callable

import torch

from benchmarks.harness import as_record, print_timings, save_results, time_side_by_side
from manticore.components.loading import load_component
from manticore.hybrid import build_hybrid
from manticore.search import SearchConfig
from manticore.search.darts import Darts

PAIR = ("zoo:tales-neox", "zoo:novelas-mamba")
N_BLOCKS, BATCH_SIZE, SEQ_LEN = 4, 4, 128


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    hybrid = build_hybrid(PAIR, N_BLOCKS)
    Darts(SearchConfig()).begin(hybrid)
    alternatives = {"the hybrid, searching": _step(hybrid)}
    alternatives |= {f"{name} alone": _step(load_component(name).model) for name in PAIR}
    timings = time_side_by_side(alternatives, rounds)
    print_timings("one training step", timings)
    both = sum(timing.median_s for timing in timings[1:])
    ratio = timings[0].median_s / both
    print(f"the hybrid's step takes {ratio:.2f} times as long as both components' together")
    setup = {"components": PAIR, "n_blocks": N_BLOCKS, "batch_size": BATCH_SIZE}
    setup |= {"seq_len": SEQ_LEN, "data": "random tokens", "seed": 0, "rounds": rounds}
    measured = {"setup": setup, "timings": as_record(timings), "ratio_to_sum": round(ratio, 3)}
    print(save_results("step_time", measured))


def _step(model: torch.nn.Module) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 4000, (BATCH_SIZE, SEQ_LEN), generator=generator)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-5)
    model.train()

    def call() -> object:
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        return optimizer.step()

    return call


if __name__ == "__main__":
    main()

"""How do time and memory of a training step grow with components, blocks, tokens and sequences?

One forward and backward pass of a hybrid of bundled components, beside those of its components one
after the other. From a middle (two components, four blocks, 128 tokens, four sequences) one setting
is varied at a time. Time: side by side in one process, on one thread, medians of seconds of the
wall. Memory: what all tensors of the step hold at their most, in MiB.

    python -m benchmarks.scaling
"""

import argparse
from typing import Any

import torch

import manticore as mc
from benchmarks.harness import save_results, time_side_by_side
from benchmarks.overhead import backward, one_after_the_other, peak_mib
from manticore.components.loading import load_component

COMPONENTS = ("tales-neox", "tales-mamba", "novelas-mamba", "stdlib-llama")
MIDDLE = {"components": 2, "blocks": 4, "tokens": 128, "sequences": 4}
VARIED = {
    "components": (1, 2, 3, 4),
    "blocks": (1, 2, 3, 4, 5, 6),
    "tokens": (128, 256, 512, 1024, 2048, 4096, 8192),
    "sequences": (1, 2, 4, 8, 16, 32),
}
WORK = 40_000
"""Tokens that a model sees in all rounds together: fewer rounds where there are more tokens."""


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=tuple(VARIED))
    only = parser.parse_args().only
    torch.set_num_threads(1)
    found = {}
    for varied, values in VARIED.items():
        if only in (None, varied):
            found[varied] = [_measure({**MIDDLE, varied: value}, varied) for value in values]
    if only is None:
        setup = {"components": COMPONENTS, "middle": MIDDLE}
        print(save_results("scaling", {"setup": setup, "found": found}))


def _measure(setting: dict[str, int], varied: str) -> dict[str, Any]:
    sources = [f"zoo:{name}" for name in COMPONENTS[: setting["components"]]]
    hybrid = mc.build_hybrid(sources, setting["blocks"])
    components = [load_component(source).model for source in sources]
    shape = (setting["sequences"], setting["tokens"])
    ids = torch.randint(2, 4000, shape, generator=torch.Generator().manual_seed(0))
    if varied == "tokens" and setting["tokens"] > 512:
        # As many tokens in all: otherwise a machine of 24 GB would be too small.
        ids = ids[:1]
    calls = {
        "parts": one_after_the_other([backward(model, ids) for model in components]),
        "hybrid": backward(hybrid, ids),
    }
    parts, own = time_side_by_side(calls, max(3, min(15, WORK // ids.numel())))
    memory = peak_mib(hybrid, ids)
    of_parts = sum(peak_mib(model, ids) for model in components)
    found = {
        varied: setting[varied],
        "sequences": len(ids),
        "hybrid_s": own.median_s,
        "parts_s": parts.median_s,
        "time_ratio": 1 / own.speedup,
        "hybrid_mib": memory,
        "parts_mib": of_parts,
        "memory_ratio": memory / of_parts,
    }
    found = {
        key: value if isinstance(value, int) else float(f"{value:.3g}")
        for key, value in found.items()
    }
    print(found, flush=True)
    return found


if __name__ == "__main__":
    main()

"""What does a hybrid cost beyond its parts?

The hybrid of two bundled components with even mixture weights, four blocks, beside both components
as Transformers loads them, one after the other; with one-hot mixture weights, beside that component
alone. Decoding: 64 tokens after a prompt of 32. Forward, and forward with backward: four sequences
of 128, 512 and 2,048 tokens, where the components have our mixers too, so that the joints alone are
measured. A step of a bilevel search beside one of the search on one level. All side by side in one
process, wall time; ratios are medians over the rounds. Peak memory of a training step: each model in
a process of its own.

    python -m benchmarks.overhead
"""

import argparse
import multiprocessing
import resource
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

import manticore as mc
from benchmarks.harness import save_results, time_side_by_side
from manticore.components.loading import load_component
from manticore.components.zoo import zoo_path

PAIR = ("tales-neox", "tales-mamba")
SOURCES = [f"zoo:{name}" for name in PAIR]
N_BLOCKS, PROMPT, NEW_TOKENS, BATCH_SIZE, LENGTHS = 4, 32, 64, 4, (128, 512, 2048)
Call = Callable[[], object]


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", choices=("decode", "forward", "memory"))
    options = parser.parse_args()
    ratios: dict[str, dict[str, float]] = {}
    if options.only in (None, "decode"):
        ratios |= _decoding(options.rounds)
    if options.only in (None, "forward"):
        ratios |= _passes(options.rounds)
    if options.only in (None, "memory"):
        ratios |= _memory()
    if options.only is None:
        setup = {"components": PAIR, "n_blocks": N_BLOCKS, "rounds": options.rounds}
        setup |= {"prompt": PROMPT, "new_tokens": NEW_TOKENS, "batch_size": BATCH_SIZE}
        print(save_results("overhead", {"setup": setup, "ratios": ratios}))


def _compare(name: str, parts: Call, hybrid: Call, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of the parts and of the hybrid, and the hybrid's over those of the parts."""
    one, other = time_side_by_side({"parts": parts, "hybrid": hybrid}, rounds)
    found = {"parts_s": one.median_s, "hybrid_s": other.median_s, "ratio": 1 / other.speedup}
    found = {key: float(f"{value:.3g}") for key, value in found.items()}
    print(f"{name:45}", found, flush=True)
    return {name: found}


def _plain(name: str) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(zoo_path(name), dtype=torch.float32).eval()


def _all(calls: Sequence[Call]) -> Call:
    return lambda: [call() for call in calls]


def _decoding(rounds: int) -> dict[str, dict[str, float]]:
    ids = torch.randint(2, 4000, (1, PROMPT), generator=torch.Generator().manual_seed(0))

    def decode(model: Any) -> Call:
        options = {"min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS, "do_sample": False}
        return lambda: model.generate(ids, attention_mask=torch.ones_like(ids), **options)

    alone = [decode(_plain(name)) for name in PAIR]
    even = decode(mc.build_hybrid(SOURCES, N_BLOCKS))
    found = _compare("decode, even mixture weights", _all(alone), even, rounds)
    for k, name in enumerate(PAIR):
        one_hot = [float(index == k) for index in range(len(PAIR))]
        hybrid = decode(mc.build_hybrid(SOURCES, N_BLOCKS, mixture_weights=one_hot))
        found |= _compare(f"decode, one-hot on {name}", alone[k], hybrid, rounds)
        single = decode(mc.build_hybrid(SOURCES[k : k + 1], N_BLOCKS))
        found |= _compare(f"decode, hybrid of {name} only", alone[k], single, rounds)
    return found


def _passes(rounds: int) -> dict[str, dict[str, float]]:
    found = {}
    hybrid = mc.build_hybrid(SOURCES, N_BLOCKS)
    components = [load_component(source).model for source in SOURCES]
    for length in LENGTHS:
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(2, 4000, (BATCH_SIZE, length), generator=generator)
        turns = max(3, rounds * LENGTHS[0] // length)
        for name, make in (("forward", _forward), ("forward and backward", _backward)):
            parts = _all([make(model, ids) for model in components])
            found |= _compare(f"{name}, {length} tokens", parts, make(hybrid, ids), turns)
    return found


def _forward(model: Any, ids: torch.Tensor) -> Call:
    def call() -> object:
        with torch.no_grad():
            return model.eval()(input_ids=ids, use_cache=False).logits

    return call


def _backward(model: Any, ids: torch.Tensor) -> Call:
    def call() -> None:
        model.zero_grad()
        model.train()(input_ids=ids, labels=ids, use_cache=False).loss.backward()

    return call


def _memory() -> dict[str, dict[str, float]]:
    """Growth of the process's largest memory, in MiB, by one training step."""
    hybrid = _in_a_process(SOURCES)
    parts = sum(_in_a_process([source]) for source in SOURCES)
    found = {"parts_mib": parts, "hybrid_mib": hybrid, "ratio": round(hybrid / parts, 3)}
    print("peak memory of a training step", found)
    return {"peak memory of a training step": found}


def _in_a_process(sources: list[str]) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (sources,))


def _grown(sources: list[str]) -> float:
    if len(sources) == 1:
        model: torch.nn.Module = load_component(sources[0]).model
    else:
        model = mc.build_hybrid(sources, N_BLOCKS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ids = torch.randint(2, 4000, (BATCH_SIZE, 512), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    _backward(model, ids)()
    optimizer.step()
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1)


if __name__ == "__main__":
    main()

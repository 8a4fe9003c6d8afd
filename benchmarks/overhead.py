"""What does a hybrid cost beyond its parts?

The hybrid of two bundled components with even mixture weights, four blocks, beside both components
as Transformers loads them, one after the other; with one-hot mixture weights, beside that component
alone. Decoding: 64 tokens after a prompt of 32. Forward, and forward with backward: four sequences
of 128, 512 and 2,048 tokens, where the components have our mixers too, so that the joints alone are
measured. Peak memory: what a training step of 512 tokens holds at most, in all tensors. A step
of a bilevel search, beside one of a search on one level. All side by side in one process, on one
thread, in seconds of the wall; ratios are medians over the rounds.

    python -m benchmarks.overhead
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM, PreTrainedModel

import manticore as mc
from benchmarks.harness import save_results, time_side_by_side
from benchmarks.searching import search_here
from manticore.components.loading import load_component
from manticore.components.zoo import zoo_path
from manticore.names import STRATEGIES
from manticore.search import SearchConfig
from manticore.search.held_out import hold_out

PAIR = ("tales-neox", "tales-mamba")
SOURCES = [f"zoo:{name}" for name in PAIR]
N_BLOCKS, PROMPT, NEW_TOKENS, BATCH_SIZE, LENGTHS = 4, 32, 64, 4, (128, 512, 2048)
Call = Callable[[], object]


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", choices=("decode", "forward", "memory", "search"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    ratios: dict[str, dict[str, float]] = {}
    if options.only in (None, "decode"):
        ratios |= _decoding(options.rounds)
    if options.only in (None, "forward"):
        ratios |= _passes(options.rounds)
    if options.only in (None, "memory"):
        ratios |= _memory()
    if options.only in (None, "search"):
        ratios |= _searches(options.rounds)
    if options.only is None:
        setup = {"components": PAIR, "n_blocks": N_BLOCKS, "rounds": options.rounds}
        setup |= {"prompt": PROMPT, "new_tokens": NEW_TOKENS, "batch_size": BATCH_SIZE}
        print(save_results("overhead", {"setup": setup, "ratios": ratios}))


def _compare(name: str, parts: Call, hybrid: Call, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of the parts and of the hybrid, and the hybrid's over those of the parts."""
    one, other = time_side_by_side({"parts": parts, "hybrid": hybrid}, rounds)
    found = {"parts_s": one.median_s, "hybrid_s": other.median_s, "ratio": 1 / other.speedup}
    return _noted(name, found)


def _noted(name: str, found: dict[str, float]) -> dict[str, dict[str, float]]:
    found = {key: float(f"{value:.3g}") for key, value in found.items()}
    print(f"{name:45}", found, flush=True)
    return {name: found}


def _plain(name: str) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(zoo_path(name), dtype=torch.float32).eval()


def one_after_the_other(calls: Sequence[Call]) -> Call:
    return lambda: [call() for call in calls]


def _decoding(rounds: int) -> dict[str, dict[str, float]]:
    ids = torch.randint(2, 4000, (1, PROMPT), generator=torch.Generator().manual_seed(0))

    def decode(model: Any) -> Call:
        options = {"min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS, "do_sample": False}
        return lambda: model.generate(ids, attention_mask=torch.ones_like(ids), **options)

    alone = [decode(_plain(name)) for name in PAIR]
    even = decode(mc.build_hybrid(SOURCES, N_BLOCKS))
    found = _compare("decode, even mixture weights", one_after_the_other(alone), even, rounds)
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
        for name, make in (("forward", _forward), ("forward and backward", backward)):
            parts = one_after_the_other([make(model, ids) for model in components])
            found |= _compare(f"{name}, {length} tokens", parts, make(hybrid, ids), turns)
    return found


def _forward(model: Any, ids: torch.Tensor) -> Call:
    def call() -> object:
        with torch.no_grad():
            return model.eval()(input_ids=ids, use_cache=False).logits

    return call


def backward(model: Any, ids: torch.Tensor) -> Call:
    def call() -> None:
        model.zero_grad()
        model.train()(input_ids=ids, labels=ids, use_cache=False).loss.backward()

    return call


def _memory() -> dict[str, dict[str, float]]:
    """MiB of all tensors that a training step makes, at the moment when they are most."""
    ids = torch.randint(2, 4000, (BATCH_SIZE, 512), generator=torch.Generator().manual_seed(0))
    parts = sum(peak_mib(load_component(source).model, ids) for source in SOURCES)
    hybrid = peak_mib(mc.build_hybrid(SOURCES, N_BLOCKS), ids)
    found = {"parts_mib": round(parts), "hybrid_mib": round(hybrid)}
    return _noted("peak memory of a training step", {**found, "ratio": hybrid / parts})


def peak_mib(model: torch.nn.Module, ids: torch.Tensor) -> float:
    step = backward(model, ids)
    with tempfile.TemporaryDirectory() as folder:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            step()
        path = Path(folder) / "trace.json"
        profiled.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    events = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
    return max(accumulate(event["args"]["Bytes"] for event in events)) / 2**20


def _searches(rounds: int) -> dict[str, dict[str, float]]:
    """Seconds per step of both searches by gradient, taking turns of five steps each."""
    seconds: dict[str, list[float]] = {"darts": [], "darts-bilevel": []}
    for _ in range(max(3, rounds // 2)):
        for name, found in seconds.items():
            found.append(_step_of(name))
    single, double = seconds.values()
    ratios = [d / s for s, d in zip(single, double, strict=True)]
    found = {"darts_s": median(single), "bilevel_s": median(double), "ratio": median(ratios)}
    return _noted("step of darts-bilevel beside one of darts", found)


def _step_of(name: str) -> float:
    hybrid = mc.build_hybrid(SOURCES, N_BLOCKS)
    data = mc.load_text("bundled:stories-en?n_stories=200", tokenizer=hybrid.tokenizer, seq_len=128)
    options = SearchConfig(strategy=name, steps=5, batch_size=BATCH_SIZE, warmup_steps=0)
    strategy = STRATEGIES.load(name)(options, 0)
    strategy.begin(hybrid)
    text, held_out = hold_out(data.train, 0.1, 0, BATCH_SIZE)
    times: list[float] = []

    def step_done(step: int, loss: float) -> None:
        times.append(time.perf_counter())

    search_here(hybrid, strategy, options, text, held_out, 0, step_done)
    return median(b - a for a, b in pairwise(times))


if __name__ == "__main__":
    main()

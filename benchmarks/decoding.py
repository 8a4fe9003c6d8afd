"""What does a token cost that a routed hybrid decodes, compared with one of its components alone?

A prompt of 32 tokens is continued greedily by 64. The component alone is the model as Transformers
runs it; the routed hybrid gives every token to this component, so that the other one does not run.
Then a switch: the first token after 32, 128 or 512 tokens that the other component has missed,
which it takes in at once, compared with a token without a switch. All on one thread, in seconds of
the processor's time.

    python -m benchmarks.decoding
"""

import copy
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForCausalLM

import manticore as mc
from benchmarks.harness import as_record, print_timings, save_results, time_side_by_side
from manticore.components.zoo import zoo_path
from manticore.hybrid import ManticoreForCausalLM
from manticore.hybrid.routing import RouterSettings

PAIR = ("tales-neox", "novelas-mamba")
N_BLOCKS, PROMPT, NEW_TOKENS, MISSED, ROUNDS = 4, 32, 64, (32, 128, 512), 9


def main() -> None:
    """Measure, print and save."""
    torch.set_num_threads(1)
    sources = [f"zoo:{name}" for name in PAIR]
    ids = torch.randint(2, 4000, (1, PROMPT), generator=torch.Generator().manual_seed(0))
    found = {}
    for k, name in enumerate(PAIR):
        one_hot = [float(index == k) for index in range(len(PAIR))]
        static = mc.build_hybrid(sources, N_BLOCKS, mixture_weights=one_hot)
        models: dict[str, Any] = {
            f"{name} alone": AutoModelForCausalLM.from_pretrained(
                zoo_path(name), dtype=torch.float32
            ).eval(),
            "routed hybrid, one language": _routed(sources, k),
            "static hybrid, one-hot": static,
            "hybrid of one component": mc.build_hybrid([sources[k]], N_BLOCKS),
        }
        calls = {label: partial(_continue, model, ids) for label, model in models.items()}
        found[name] = time_side_by_side(calls, ROUNDS, clock=time.process_time)
        print_timings(f"{NEW_TOKENS} tokens after a prompt of {PROMPT}", found[name])
    alternatives = _switches(_routed(sources, 0))
    switches = time_side_by_side(alternatives, ROUNDS, clock=time.process_time)
    print_timings("One token of a routed hybrid", switches)
    setup = {
        "components": PAIR,
        "n_blocks": N_BLOCKS,
        "prompt": PROMPT,
        "new_tokens": NEW_TOKENS,
        "clock": "processor time",
    }
    decoding = {name: as_record(timings) for name, timings in found.items()}
    record = {"setup": setup, "decoding": decoding, "switch": as_record(switches)}
    print(save_results("decoding", record))


def _routed(sources: list[str], k: int) -> ManticoreForCausalLM:
    """The hybrid with a router that gives every token to component k."""
    hybrid = mc.build_hybrid(sources, N_BLOCKS)
    mixture = hybrid.add_router(RouterSettings(threshold=0.3))
    with torch.no_grad():
        mixture.row.zero_()
        mixture.row[:, k] = 20.0
    return hybrid


def _continue(model: Any, ids: torch.Tensor) -> None:
    options = {"min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS, "do_sample": False}
    model.generate(ids, attention_mask=torch.ones_like(ids), **options)


def _switches(hybrid: ManticoreForCausalLM) -> dict[str, Callable[[], None]]:
    """The next token after a prompt that only the first component has read, by the second one."""
    token = torch.tensor([[5]])
    calls: dict[str, Callable[[], None]] = {}
    for missed in MISSED:
        ids = torch.randint(2, 4000, (1, missed), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            cache = hybrid(ids, use_cache=True).past_key_values
        for label, k in (("no switch", 0), ("switch", 1)):
            calls[f"{label} after {missed} tokens"] = partial(_next, hybrid, token, cache, k)
    return calls


@torch.no_grad()
def _next(hybrid: ManticoreForCausalLM, token: torch.Tensor, cache: Any, k: int) -> None:
    alpha = torch.zeros(1, 1, N_BLOCKS, len(PAIR))
    alpha[..., k] = 1.0
    # The copy is made in every alternative.
    hybrid(token, past_key_values=copy.deepcopy(cache), use_cache=True, mixture_weights=alpha)


if __name__ == "__main__":
    main()

"""What does a hybrid lose by a tokenizer that its components were not trained with?

The bundled English and Spanish components share a tokenizer. The same pair is built on it, and on
three others of the same kind, onto which both are transplanted: one with a quarter of the entries,
one with four times as many, and one with bytes alone. The others learn their merges from other
bundled stories and Python's standard library.

For each: the share of rows that are copied; how many of its tokens on held-out text conflict with
the shared tokenizer's, so that they overlap with two of its tokens and neither hold them whole nor
lie within one; bits per byte of each component alone and of the hybrid at even weights, before any
training; and bits per byte of the hybrid after a search in which everything learns. Sequences have
the same number of bytes under every tokenizer, and searches the same steps, so that all read the
same text; the seconds say what that costs. The rate of the components is chosen for each tokenizer,
with another seed, on the other half of the held-out text.

    python -m benchmarks.tokenizers

If it is interrupted, the benchmark continues with the searches that are done.
"""

import math
from dataclasses import replace
from functools import cache, partial
from itertools import chain, pairwise
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from torch.utils.data import Subset
from transformers import PreTrainedTokenizerBase

import manticore as mc
from benchmarks.harness import Trials, best_of, save_results
from benchmarks.searching import search_text
from manticore.components.loading import load_component
from manticore.components.tokenizers import transplant
from manticore.config.search import SearchConfig
from manticore.data import TextData
from manticore.evaluate import mean_loss
from manticore.hybrid import ManticoreForCausalLM
from manticore.stories import generate_stories
from tools.zoo.blend import python_modules
from tools.zoo.tokenizer import train_tokenizer

COMPONENTS = ("zoo:tales-neox", "zoo:novelas-mamba")
N_BLOCKS, ROW_BYTES, BATCH_SIZE, STEPS = 4, 256, 8, 100
RATES, SEEDS, CHOOSING_SEED = (3e-4, 1e-3), (0, 1, 2), 7
TEXT = "bundled:stories-mixed?n_stories=2000"
BYTES = 258
"""Entries of a tokenizer without merges: 256 bytes, and two special tokens."""
HELD_OUT = 64
"""Sequences that a loss is measured on: as many to choose by, and others to measure."""
SAMPLE_STORIES = 200
"""Stories on which tokens per byte and conflicts are counted."""


def main() -> None:
    """Measure, print and save."""
    shared = load_component(COMPONENTS[0]).tokenizer
    entries = {
        "shared": len(shared),
        "smaller": len(shared) // 4,
        "larger": 4 * len(shared),
        "bytes": BYTES,
    }
    setup: dict[str, Any] = {"components": COMPONENTS, "n_blocks": N_BLOCKS, "text": TEXT}
    setup |= {"row_bytes": ROW_BYTES, "batch_size": BATCH_SIZE, "steps": STEPS}
    setup |= {"rates": RATES, "seeds": SEEDS, "entries": entries, "strategy": "darts"}
    rows = []
    with Trials("tokenizers", setup) as trials:
        for name, size in entries.items():
            rows.append(_row(trials, name, size, shared))
            Console().print(rows[-1])
        print(save_results("tokenizers", {"setup": setup, "rows": rows}))
    trials.forget()


def _row(
    trials: Trials, name: str, entries: int, shared: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """One tokenizer."""
    tokenizer = shared if name == "shared" else _trained(entries)
    start = trials.measure(f"{name}, start", partial(_before_training, tokenizer, shared))
    tried = trials.at_rates(
        f"{name}, choosing",
        RATES,
        lambda rate: _after_training(tokenizer, rate, CHOOSING_SEED)["chosen_by"],
    )
    rate = best_of(tried)
    after = [
        trials.measure(
            f"{name}, seed {seed} at {rate:g}", partial(_after_training, tokenizer, rate, seed)
        )
        for seed in SEEDS
    ]
    found = [one["bits_per_byte"] for one in after]
    return {
        "tokenizer": name,
        **start,
        "rate": rate,
        "after": {"mean": mean(found), "spread": stdev(found), "by_seed": found},
        "seconds": mean(one["seconds"] for one in after),
    }


@cache
def _trained(entries: int) -> PreTrainedTokenizerBase:
    """A tokenizer with merges from other stories than those that anything is measured on."""
    stories = generate_stories("mixed", n_stories=3000, seed=1, stream="tokenizer")
    return train_tokenizer(chain(stories, python_modules("train")), vocab_size=entries)


def _before_training(
    tokenizer: PreTrainedTokenizerBase, shared: PreTrainedTokenizerBase
) -> dict[str, Any]:
    hybrid, copied = _build(tokenizer)
    text = _text(tokenizer)
    found: dict[str, Any] = {"entries": len(tokenizer), "copied": copied}
    found |= {"conflicts": _conflicts(tokenizer, shared)}
    found |= {"tokens_per_byte": _tokens_per_byte(tokenizer), "seq_len": text.seq_len}
    for weights, name in (([1, 0], COMPONENTS[0]), ([0, 1], COMPONENTS[1]), ([0.5, 0.5], "even")):
        hybrid.set_mixture_weights([float(weight) for weight in weights])
        found[name] = _bits_per_byte(hybrid, text)
    return found


def _after_training(tokenizer: PreTrainedTokenizerBase, rate: float, seed: int) -> dict[str, float]:
    """Bits per byte after a search, on the text to choose by and on the other half."""
    hybrid, _ = _build(tokenizer)
    text = _text(tokenizer)
    options = SearchConfig(
        strategy="darts", steps=STEPS, batch_size=BATCH_SIZE, component_lr=rate, warmup_steps=10
    )
    seconds = search_text(hybrid, options, text.train, seed)
    return {
        "chosen_by": _bits_per_byte(hybrid, text, to_choose=True),
        "bits_per_byte": _bits_per_byte(hybrid, text),
        "seconds": round(seconds, 1),
    }


def _build(tokenizer: PreTrainedTokenizerBase) -> tuple[ManticoreForCausalLM, float]:
    """The pair on a tokenizer, at even weights, and the share of its rows that are copied."""
    components, copied = [], 1.0
    for source in COMPONENTS:
        component = load_component(source)
        if component.tokenizer.get_vocab() != tokenizer.get_vocab():
            copied = transplant(component.model, component.tokenizer, tokenizer).copied_share
            component = replace(component, tokenizer=tokenizer)
        components.append(component)
    return mc.build_hybrid(components, N_BLOCKS), copied


@cache
def _tokens_per_byte(tokenizer: PreTrainedTokenizerBase) -> float:
    stories = list(generate_stories("mixed", n_stories=SAMPLE_STORIES, seed=2))
    tokens = sum(len(ids) for ids in tokenizer(stories, add_special_tokens=False)["input_ids"])
    return tokens / sum(len(story.encode()) for story in stories)


def _text(tokenizer: PreTrainedTokenizerBase) -> TextData:
    """The text in sequences of about as many bytes under every tokenizer."""
    seq_len = round(ROW_BYTES * _tokens_per_byte(tokenizer))
    return mc.load_text(TEXT, tokenizer=tokenizer, seq_len=seq_len)


def _bits_per_byte(
    hybrid: ManticoreForCausalLM, text: TextData, *, to_choose: bool = False
) -> float:
    first = 0 if to_choose else HELD_OUT
    part = Subset(text.valid, range(first, first + HELD_OUT))
    return mean_loss(hybrid, part) / math.log(2) * _tokens_per_byte(hybrid.tokenizer)


def _conflicts(tokenizer: PreTrainedTokenizerBase, shared: PreTrainedTokenizerBase) -> float:
    """Share of a tokenizer's tokens on sample stories that conflict with the shared one's."""
    conflicts = total = 0
    for story in generate_stories("mixed", n_stories=SAMPLE_STORIES, seed=2):
        cuts = [_cuts(one, story) for one in (tokenizer, shared)]
        own, theirs = sorted(cuts[0]), cuts[1]
        for start, end in pairwise(own):
            total += 1
            inside = any(start < cut < end for cut in theirs)
            conflicts += inside and not {start, end} <= theirs
    return conflicts / total


def _cuts(tokenizer: PreTrainedTokenizerBase, text: str) -> set[int]:
    """Places between characters of a text where tokens begin or end."""
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return {place for span in spans["offset_mapping"] for place in span}


if __name__ == "__main__":
    main()

"""A search in this process, for benchmarks that judge or time its steps: no run, nothing kept."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from manticore.hybrid import ManticoreForCausalLM
from manticore.names import STRATEGIES
from manticore.search import SearchConfig
from manticore.search.held_out import HeldOut, hold_out
from manticore.search.strategy import Strategy
from manticore.store.events import EventWriter
from manticore.train.groups import parameter_groups
from manticore.train.loop import Loop, LoopOptions


def search_text(
    hybrid: ManticoreForCausalLM,
    options: SearchConfig,
    text: Any,
    seed: int,
    step_done: Callable[[int, float], None] = lambda step, loss: None,
) -> float:
    """Search on a text, with the strategy and the held-out share that the options name.

    Arguments and the result are as for `search_here`; the part of the text that nothing but the
    mixture weights may use is held out for every strategy, so that all learn from the same.
    """
    strategy = STRATEGIES.load(options.strategy)(options, seed)
    strategy.begin(hybrid)
    learned, held_out = hold_out(text, options.held_out, seed, options.batch_size)
    return search_here(hybrid, strategy, options, learned, held_out, seed, step_done)


def search_here(
    hybrid: ManticoreForCausalLM,
    strategy: Strategy,
    options: SearchConfig,
    text: Any,
    held_out: HeldOut,
    seed: int,
    step_done: Callable[[int, float], None] = lambda step, loss: None,
) -> float:
    """Search on the CPU to the end, and settle on the mixture weights that were found.

    Args:
        hybrid: The hybrid, with which the strategy has begun; it is changed.
        strategy: The strategy.
        options: Options of the search.
        text: Sequences that all other weights learn from.
        held_out: Sequences that mixture weights may be judged on.
        seed: Random seed.
        step_done: Called after each step with its number and its loss.

    Returns:
        Seconds of the processor that the steps took.
    """
    with tempfile.TemporaryDirectory() as folder, EventWriter(folder) as events:
        loop = Loop(
            hybrid,
            parameter_groups(hybrid, options, strategy.shared_groups()),
            text,
            LoopOptions(
                steps=options.steps,
                batch_size=options.batch_size,
                warmup_steps=options.warmup_steps,
                max_grad_norm=options.max_grad_norm,
                watch_every=options.steps,
                checkpoint_every=options.steps,
                seed=seed,
                cpu=True,
            ),
            Path(folder),
            events,
            strategy,
            held_out,
        )
        started = time.process_time()
        loop.run(lambda step: None, step_done, lambda: False)
        seconds = time.process_time() - started
        strategy.finish()
    return seconds

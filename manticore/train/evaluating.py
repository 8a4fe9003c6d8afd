"""The stage `evaluate`: the hybrid beside each of its components, and how well it is aligned."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState

from manticore.data import TextData
from manticore.evaluate import alignment_error, perplexity
from manticore.store.events import Events
from manticore.train.devices import use_device
from manticore.train.results import write_metrics
from manticore.train.signs import misaligned, worse
from manticore.train.starting import measure_components, starting_hybrid
from manticore.train.tracking import TrackedEvents, require_trackers, tracked

if TYPE_CHECKING:
    from manticore.config.run import RunConfig


def evaluate(
    folder: Path, config: "RunConfig", events: Events, should_stop: Callable[[], bool]
) -> bool:
    """Measure the hybrid of a run on the held-out part of its text.

    Writes `result/metrics.json`: perplexities, the text's own floor, and the alignment error of
    each block and component, N times K, into and out of it.

    Args:
        folder: The run's folder.
        config: What to do.
        events: The run's event stream.
        should_stop: Asked between the measurements.

    Returns:
        Whether it came to its end.
    """
    require_trackers(config.trackers)
    processes = PartialState(cpu=use_device(config.device).type == "cpu")
    completed = True
    # Of several processes, one is enough.
    if processes.is_main_process:
        with tracked(events, folder, config) as everywhere:
            completed = _measure(folder, config, everywhere, should_stop)
    processes.destroy_process_group()
    return completed


def _measure(
    folder: Path, config: "RunConfig", events: TrackedEvents, should_stop: Callable[[], bool]
) -> bool:
    """What `evaluate` does between the start and the end of its trackers."""
    options = config.options
    hybrid = starting_hybrid(folder, config, events).to(events.accelerator.device).eval()
    data = TextData.from_spec(config.data, hybrid.tokenizer)
    events.emit("stage", name="evaluate", total_steps=0)
    events.emit(
        "mixture", step=0, weights=hybrid.mixture_weights, components=hybrid.component_names
    )
    measured = perplexity(
        hybrid, data.valid, batch_size=options.batch_size, max_batches=options.eval_batches
    )
    components = measure_components(
        hybrid,
        data,
        events,
        should_stop,
        batch_size=options.batch_size,
        max_batches=options.eval_batches,
    )
    if components is None or should_stop():
        return False
    metrics = {
        "step": 0,
        "perplexity": measured,
        "components": components,
        "floor": None if data.floor is None else float(data.floor),
    }
    sequences = [item["input_ids"] for item in islice(data.valid, options.alignment_sequences)]
    errors = alignment_error(hybrid, torch.stack(sequences).to(hybrid.device))
    metrics["alignment_error"] = {
        "into": errors.into.tolist(),
        "out_of": errors.out_of.tolist(),
    }
    events.emit("eval", step=0, metrics=metrics)
    alpha, names = hybrid.mixture_weights.cpu(), hybrid.component_names
    signs = misaligned(errors.into, alpha, names) | worse(measured, metrics["components"])
    for message in signs.values():
        events.emit("warning", message=message)
    write_metrics(folder, metrics)
    return True

"""The stage `evaluate`: the hybrid next to each of its components, and its alignment."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState

from manticore.evaluate import alignment_error, perplexity
from manticore.hybrid.outline import outline
from manticore.store.events import Events
from manticore.train.devices import use_device
from manticore.train.results import write_metrics
from manticore.train.signs import misaligned, worse
from manticore.train.starting import load_data, measure_components, on_device, starting_hybrid
from manticore.train.tracking import TrackedEvents, require_trackers, tracked

if TYPE_CHECKING:
    from manticore.config.run import RunConfig
    from manticore.config.training import EvaluateConfig


def evaluate(
    folder: Path, config: "RunConfig", events: Events, should_stop: Callable[[], bool]
) -> bool:
    """Measure the hybrid of a run on the held-out part of its text.

    Writes `result/metrics.json`: perplexities, the text's own floor in nats per token, and the
    alignment error of each block and component, N times K, into and out of it.

    Args:
        folder: Folder of the run.
        config: Configuration of the run.
        events: Events of the run.
        should_stop: Called between the measurements.

    Returns:
        Whether the stage came to its end.
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
    options: EvaluateConfig = config.options
    hybrid = on_device(starting_hybrid(folder, config, events), events.accelerator.device).eval()
    data = load_data(config, hybrid, events)
    events.emit("stage", name="evaluate", total_steps=0)
    events.emit("hybrid", **outline(hybrid))
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
    metrics: dict[str, Any] = {
        "step": 0,
        "perplexity": measured,
        "components": components,
        "floor": None if data.floor is None else float(data.floor),
    }
    held_out: Any = data.valid
    sequences = [item["input_ids"] for item in islice(held_out, options.alignment_sequences)]
    errors = alignment_error(hybrid, torch.stack(sequences).to(hybrid.device))
    metrics["alignment_error"] = {
        "into": errors.into.tolist(),
        "out_of": errors.out_of.tolist(),
    }
    events.emit("eval", step=0, metrics=metrics)
    alpha, names = hybrid.mixture_weights.cpu(), hybrid.component_names
    # Errors at the mean of a routed mixture are those of no token.
    handed = {} if hybrid.is_routed else misaligned(errors.into, alpha, names)
    signs = handed | worse(measured, components)
    for message in signs.values():
        events.emit("warning", message=message)
    write_metrics(folder, metrics)
    return True

"""The hybrid that a run starts from, and what its components can do before the run."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from accelerate import PartialState
from torch import nn

from manticore.data import TextData
from manticore.evaluate import perplexity
from manticore.hybrid import ManticoreForCausalLM, build_hybrid
from manticore.store.events import Events
from manticore.store.layout import START_FOLDER
from manticore.train.results import save_whole

if TYPE_CHECKING:
    from manticore.config.run import HybridConfig, RunConfig


def starting_hybrid(folder: Path, config: "RunConfig", events: Events) -> ManticoreForCausalLM:
    """The hybrid that a run starts from: the one it was given, or one built from its components.

    A built hybrid may keep little of a component whose vocabulary is another: the events say so.

    Args:
        folder: Folder of the run.
        config: Configuration of the run.
        events: Events of the run.
    """
    start = folder / START_FOLDER
    if start.is_dir():
        return ManticoreForCausalLM.from_pretrained(start, dtype="auto")
    hybrid = build_from(config)
    for name, report in (hybrid.transplants or {}).items():
        events.emit("warning", message=f"{name} has another tokenizer: {report}.")
    # A resumed worker, and whoever loads a checkpoint, need not build and align it again.
    save_whole(hybrid, start)
    return hybrid


def on_device(hybrid: ManticoreForCausalLM, device: torch.device | None) -> ManticoreForCausalLM:
    """A hybrid on a device.

    Args:
        hybrid: Hybrid; it is moved.
        device: Device; None where accelerate has not chosen one, and the hybrid stays.
    """
    return hybrid if device is None else cast(nn.Module, hybrid).to(device)  # pyright: ignore[reportReturnType]


def load_data(config: "RunConfig", hybrid: ManticoreForCausalLM, events: Events) -> TextData:
    """The text of a run, in the hybrid's tokens.

    Args:
        config: Configuration of the run.
        hybrid: Hybrid with its tokenizer.
        events: Events of the run; they tell if the text has changed since the run was created.

    Raises:
        ValueError: The hybrid has no tokenizer.
    """
    if hybrid.tokenizer is None:
        raise ValueError(
            "The hybrid has no tokenizer, so it cannot read a text: set hybrid.tokenizer before "
            "you start the run."
        )
    data = TextData.from_spec(config.data, hybrid.tokenizer)
    before = config.data.get("fingerprint")
    if before is not None and before != data.spec["fingerprint"]:
        events.emit(
            "warning",
            message=f"The text {data.name} has changed since the run was created: the run "
            "continues with the text as it is now.",
            sign="other text",
        )
    return data


def build_from(config: "HybridConfig") -> ManticoreForCausalLM:
    """The hybrid that a run or a recipe describes, built from its components.

    Args:
        config: Configuration of the hybrid.
    """
    return build_hybrid(
        list(config.components),
        config.n_blocks,
        projector=config.projector,
        projector_init=config.projector_init,
        head=config.head,
        gate=config.gate,
        mixture_weights=config.mixture_weights,
        trust_remote_code=config.trust_remote_code,
        seed=config.seed,
    )


def measure_components(
    hybrid: ManticoreForCausalLM,
    data: TextData,
    events: Events,
    should_stop: Callable[[], bool],
    *,
    batch_size: int,
    max_batches: int | None,
) -> dict[str, float] | None:
    """Perplexity of each component alone, before the run changes it.

    A resumed run takes what the first worker measured from its events.

    Args:
        hybrid: Hybrid as the run starts with it.
        data: Text; its held-out part is measured on.
        events: Events of the run.
        should_stop: Called before each measurement.
        batch_size: Sequences per batch.
        max_batches: Only the first so many batches; all of them if None.

    Returns:
        Perplexity by component name; None if the run was told to stop.
    """
    for event in events.earlier:
        if event["kind"] == "eval" and event["step"] == 0:
            return event["metrics"]["components"]
    found = {}
    for name, model in zip(hybrid.component_names, hybrid.components, strict=True):
        if stop_before_training(should_stop):
            return None
        found[name] = perplexity(model, data.valid, batch_size=batch_size, max_batches=max_batches)
    return found


def stop_before_training(should_stop: Callable[[], bool]) -> bool:
    """Whether to end before the first step.

    Several processes must end together: they continue to the first step, where they agree.

    Args:
        should_stop: Whether somebody asked this process to stop.
    """
    return PartialState().num_processes == 1 and should_stop()

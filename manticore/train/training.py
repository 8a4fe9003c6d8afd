"""Training a run's hybrid, whatever the stage: from where it starts to its result, resumable."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from accelerate.utils import set_seed

from manticore.data import TextData
from manticore.evaluate import measure_text, perplexity
from manticore.hybrid import ManticoreForCausalLM, build_hybrid
from manticore.search.fixed import Fixed
from manticore.search.held_out import hold_out
from manticore.store.events import EventWriter, Section, last_per_step, read_events
from manticore.store.files import write_json
from manticore.store.layout import (
    HYBRID_FOLDER,
    METRICS_FILE,
    RESULT_FOLDER,
    START_FOLDER,
)
from manticore.train.assembly import Assembly
from manticore.train.devices import use_device
from manticore.train.groups import parameter_groups
from manticore.train.loop import Loop, LoopOptions
from manticore.train.sharding import load_on_every_process
from manticore.train.tracking import require_trackers
from manticore.train.watcher import Data, Measure, Watcher

if TYPE_CHECKING:
    from manticore.config.run import HybridConfig, RunConfig


def train(
    folder: Path, config: "RunConfig", events: EventWriter, should_stop: Callable[[], bool]
) -> bool:
    """Train the hybrid of a run as its stage says, resuming from the newest checkpoint.

    Writes `result/hybrid` (the hybrid with its tokenizer) and `result/metrics.json`.

    Args:
        folder: The run's folder.
        config: What to do.
        events: The run's event stream.
        should_stop: Asked after every step.

    Returns:
        Whether it came to its end.
    """
    options = config.options
    require_trackers(config.trackers)
    load_on_every_process()
    processes = PartialState(cpu=use_device(config.device).type == "cpu")
    # One process makes what lies on the disk: the hybrid to start from, and the tokens.
    with processes.main_process_first():
        hybrid = starting_hybrid(folder, config, events).to(processes.device)
        data = TextData.from_spec(config.data, hybrid.tokenizer)
    events.emit("stage", name=config.stage, total_steps=options.steps)
    # Before training touches them: what each component can do alone, as this run finds it.
    components = alone(folder, hybrid, data, options.batch_size, options.eval_batches, should_stop)
    if components is None or stop_before_training(should_stop):
        return False
    training = Training(hybrid, data, config, folder, events, components)
    metrics = training.run(should_stop)
    if metrics is not None and processes.is_main_process:
        save_whole(training.hybrid, folder / RESULT_FOLDER / HYBRID_FOLDER)
        write_metrics(folder, metrics)
    training.close_trackers()
    processes.destroy_process_group()
    return metrics is not None


class Training:
    """One hybrid trained on one data set, as a stage's options say: resumable, and watched.

    Args:
        hybrid: It is changed in place.
        data: What it learns from, and is measured on.
        config: Of the run.
        folder: Of the run.
        events: Of the run.
        components: Perplexity of each component as the run finds it; empty if that says nothing.
        measure: What is measured on the held-out part.
        section: The part of the run that this is; all of it if None.
    """

    def __init__(
        self,
        hybrid: ManticoreForCausalLM,
        data: Data,
        config: "RunConfig",
        folder: Path,
        events: EventWriter,
        components: dict[str, float],
        measure: Measure = measure_text,
        section: Section | None = None,
    ) -> None:
        self.config, self.folder = config, folder
        options = config.options
        # Adapters start at random: alike on every process.
        set_seed(config.seed)
        self.assembly = Assembly(hybrid, config)
        strategy = self.assembly.strategy
        if options.gradient_checkpointing:
            hybrid.gradient_checkpointing_enable()
        text, held_out = data.train, None
        if strategy.needs_held_out:
            text, held_out = hold_out(text, options.held_out, config.seed, options.batch_size)
        groups = parameter_groups(hybrid, options, strategy.shared_parameters())
        if not groups and isinstance(strategy, Fixed):
            raise ValueError(
                "Nothing would learn: give component_lr (with adapters, theirs) or projector_lr "
                "above 0, and for projectors kind linear or mlp."
            )
        self.loop = Loop(
            hybrid,
            groups,
            text,
            _loop_options(config),
            folder,
            events,
            strategy,
            held_out,
            section,
        )
        self.watcher = Watcher(
            hybrid,
            data,
            options,
            self.loop.events,
            components,
            self._losses,
            measure,
            whole=not self.loop.sharded,
            said=self._said(),
        )

    @property
    def hybrid(self) -> ManticoreForCausalLM:
        """What was trained: after `run`, an ordinary hybrid."""
        return self.watcher.hybrid

    def run(self, should_stop: Callable[[], bool]) -> dict[str, Any] | None:
        """Train to the end: what was measured there, or None if it was stopped before.

        Args:
            should_stop: Asked after every step.
        """
        steps = self.config.options.steps
        if self.loop.run(self.watcher.watch, self.watcher.step_done, should_stop) < steps:
            return None
        before = self.hybrid.mixture_weights.clone()
        found = self._finish()
        if found or not torch.equal(before, self.hybrid.mixture_weights):
            self.watcher.settled(steps, found)
        metrics = self.watcher.metrics(steps) | found
        self.watcher.warn()
        return metrics | {"mixture_weights": self.hybrid.mixture_weights.tolist()}

    def close_trackers(self) -> None:
        """Let them write what they still hold; the processes stay together, for more trainings."""
        for tracker in self.loop.accelerator.trackers:
            tracker.finish()

    def _finish(self) -> dict[str, Any]:
        """Make an ordinary hybrid of what was trained, and hand it to the watcher."""
        if not self.loop.sharded:
            return self.assembly.finish()
        whole = starting_hybrid(self.folder, self.config, self.loop.events).to(
            self.loop.accelerator.device
        )
        self.watcher.hybrid, self.watcher.whole = whole, True
        return self.assembly.finish_on(Assembly(whole, self.config))

    def _said(self) -> set[str]:
        """Signs of failure that are in the events already, of this part of the run."""
        labels = self.loop.section.labels
        return {
            event["sign"]
            for event in read_events(self.folder)[0]
            if "sign" in event and labels.items() <= event.items()
        }

    def _losses(self) -> list[float]:
        steps = last_per_step(read_events(self.folder)[0], "step")
        first = self.loop.section.first_step
        return [event["loss"] for event in steps if event["step"] > first]


def _loop_options(config: "RunConfig") -> LoopOptions:
    options = config.options
    return LoopOptions(
        steps=options.steps,
        batch_size=options.batch_size,
        accumulate=options.accumulate,
        warmup_steps=options.warmup_steps,
        max_grad_norm=options.max_grad_norm,
        watch_every=options.eval_every,
        checkpoint_every=options.checkpoint_every,
        seed=config.seed,
        mixed_precision=config.mixed_precision,
        cpu=use_device(config.device).type == "cpu",
        trackers=config.trackers,
    )


def stop_before_training(should_stop: Callable[[], bool]) -> bool:
    """Whether to end before the first step; several processes, which must end together, go on."""
    return PartialState().num_processes == 1 and should_stop()


def starting_hybrid(folder: Path, config: "RunConfig", events: EventWriter) -> ManticoreForCausalLM:
    """The hybrid that a run starts from: the one it was given, or one built from its components.

    What is built may be little of a component whose vocabulary is another: the events say so.
    """
    start = folder / START_FOLDER
    if start.is_dir():
        return ManticoreForCausalLM.from_pretrained(start, dtype="auto")
    hybrid = build_of(config)
    for name, report in (hybrid.transplants or {}).items():
        events.emit("warning", message=f"{name} has another tokenizer: {report}.")
    # A resumed worker, and whoever loads a checkpoint, need not build and align it again.
    save_whole(hybrid, start)
    return hybrid


def build_of(config: "HybridConfig") -> ManticoreForCausalLM:
    """The hybrid that a run or a recipe describes, built of its components."""
    return build_hybrid(
        list(config.components),
        config.n_blocks,
        projector=config.projector,
        projector_init=config.projector_init,
        head=config.head,
        mixture_weights=config.mixture_weights,
        trust_remote_code=config.trust_remote_code,
        seed=config.seed,
    )


def alone(
    folder: Path,
    hybrid: ManticoreForCausalLM,
    data: TextData,
    batch_size: int,
    batches: int | None,
    should_stop: Callable[[], bool],
) -> dict[str, float] | None:
    """Perplexity of each component as the run finds it; of a resumed run, as its events have it.

    None if it was told to stop.
    """
    for event in read_events(folder)[0]:
        if event["kind"] == "eval" and event["step"] == 0:
            return event["metrics"]["components"]
    found = {}
    for name, model in zip(hybrid.component_names, hybrid.components, strict=True):
        if stop_before_training(should_stop):
            return None
        found[name] = perplexity(model, data.valid, batch_size=batch_size, max_batches=batches)
    return found


def save_whole(hybrid: ManticoreForCausalLM, folder: Path) -> None:
    """Save a hybrid so that the folder appears in one rename, never half-written."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    hybrid.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Write `result/metrics.json` of a run in one piece."""
    result = folder / RESULT_FOLDER
    result.mkdir(exist_ok=True)
    write_json(result / METRICS_FILE, metrics, allow_nan=True)

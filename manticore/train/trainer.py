"""One hybrid trained on one data set, whatever the stage: resumable, and reported as events."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import set_seed

from manticore.config.training import TrainConfig
from manticore.evaluate import measure_text
from manticore.hybrid import ManticoreForCausalLM
from manticore.search.held_out import hold_out
from manticore.store.events import Events
from manticore.train.assembly import Assembly
from manticore.train.devices import use_device
from manticore.train.groups import parameter_groups
from manticore.train.loop import Loop, LoopOptions
from manticore.train.reporting import Data, Measure, Reporter
from manticore.train.section import Section
from manticore.train.starting import on_device, starting_hybrid

if TYPE_CHECKING:
    from manticore.config.run import RunConfig


_DECISIVE = {"stage", "n_blocks", "projector", "head", "seed", "dtype", "data", "options"}
_WATCHING = {"eval_every", "eval_batches", "checkpoint_every", "sample_prompt", "sample_tokens"}


class Trainer:
    """One hybrid trained on one data set, as a stage's options say: resumable, and reported.

    Args:
        hybrid: Hybrid to train; it is changed in place.
        data: Data set that it learns from and is measured on.
        config: Configuration of the run.
        folder: Folder of the run.
        events: Events of the run.
        baselines: Perplexity of each component alone, before the run; empty where that means
            nothing.
        measure: Function that measures the hybrid on the held-out part.
        section: Part of the run that this training is; all of it if None.

    Raises:
        ValueError: Nothing would learn.
    """

    def __init__(
        self,
        hybrid: ManticoreForCausalLM,
        data: Data,
        config: "RunConfig",
        folder: Path,
        events: Events,
        baselines: Mapping[str, float],
        measure: Measure = measure_text,
        section: Section | None = None,
    ) -> None:
        self.config, self.folder = config, folder
        options: TrainConfig = config.options
        # Adapters start at random: alike on every process.
        set_seed(config.seed)
        self.assembly = Assembly(hybrid, config)
        strategy = self.assembly.strategy
        if options.gradient_checkpointing:
            hybrid.gradient_checkpointing_enable()
        text, held_out = data.train, None
        if self.assembly.entry.held_out:
            share = config.options.held_out
            text, held_out = hold_out(text, share, config.seed, options.batch_size)
        groups = parameter_groups(hybrid, options, strategy.shared_groups())
        if not groups and not strategy.moves_mixture:
            raise ValueError(
                "Nothing would learn: set component_lr (with adapters, theirs) or projector_lr "
                "above 0, and with the latter a kind of projector that has weights."
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
            settings_of(config),
        )
        self.reporter = Reporter(
            hybrid,
            data,
            options,
            self.loop.events,
            baselines,
            by_gradient=self.assembly.entry.gradient,
            measure=measure,
            whole=not self.loop.sharded,
        )

    @property
    def hybrid(self) -> ManticoreForCausalLM:
        """What was trained: after `run`, an ordinary hybrid."""
        return self.reporter.hybrid

    def run(self, should_stop: Callable[[], bool]) -> dict[str, Any] | None:
        """Train to the end.

        Args:
            should_stop: Called after every step.

        Returns:
            What was measured at the end; None if the training was stopped before.
        """
        steps = self.config.options.steps
        if self.loop.run(self.reporter.watch, self.reporter.step_done, should_stop) < steps:
            return None
        before = self.hybrid.mixture_weights.clone()
        found = self._finish()
        # Settling divides each row by its sum, which may change the last digit.
        moved = not torch.allclose(before, self.hybrid.mixture_weights, rtol=0, atol=1e-6)
        if found or moved:
            self.reporter.settled(steps, found)
        metrics = self.reporter.metrics(steps) | found
        self.reporter.warn()
        return metrics | {"mixture_weights": self.hybrid.mixture_weights.tolist()}

    def close_trackers(self) -> None:
        """Let trackers write what they still hold; the processes stay together, for more."""
        for tracker in self.loop.accelerator.trackers:
            tracker.finish()

    def _finish(self) -> dict[str, Any]:
        """Make an ordinary hybrid of what was trained, and hand it to the reporter."""
        if not self.loop.sharded:
            return self.assembly.finish()
        start = starting_hybrid(self.folder, self.config, self.loop.events)
        whole = on_device(start, self.loop.accelerator.device)
        self.reporter.hybrid, self.reporter.whole = whole, True
        return self.assembly.finish_on(Assembly(whole, self.config))


def settings_of(config: "RunConfig") -> dict[str, Any]:
    """What of a run's configuration its checkpoints depend on.

    A run may move to another folder, machine or device, and be watched in another way.

    Args:
        config: Configuration of the run.
    """
    settings = config.model_dump(mode="json", include=_DECISIVE)
    settings["options"] = {
        name: value for name, value in settings["options"].items() if name not in _WATCHING
    }
    moving = ("source", "cache_dir", "fingerprint")
    settings["data"] = {name: v for name, v in settings["data"].items() if name not in moving}
    return settings


def _loop_options(config: "RunConfig") -> LoopOptions:
    options: TrainConfig = config.options
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

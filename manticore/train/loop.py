"""The training loop that every stage shares, on accelerate."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.scheduler import AcceleratedScheduler
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from manticore.config.training import TrackerName, check_parts
from manticore.store.events import Events
from manticore.store.layout import CHECKPOINTS_FOLDER
from manticore.train.batches import Batch, Batches
from manticore.train.checkpoints import Checkpoints, Settings
from manticore.train.clock import Clock
from manticore.train.schedules import learning_rate_factor
from manticore.train.section import Section, SectionEvents
from manticore.train.sharding import (
    average_gradients,
    clip_gradients,
    is_sharded,
    over_processes,
    plan_sharding,
    sharding_is_asked_for,
)
from manticore.train.tracking import TrackedEvents, tracker_arguments

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM
    from manticore.search.held_out import HeldOut
    from manticore.search.strategy import Strategy


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class LoopOptions:
    """How long and how to train.

    Attributes:
        steps: Optimizer steps in all.
        batch_size: Sequences per step, over all processes.
        warmup_steps: Steps of linear warm-up before each schedule.
        max_grad_norm: Gradients are clipped to this norm.
        watch_every: Steps between calls of the stage's `watch`.
        checkpoint_every: Steps between checkpoints.
        seed: Random seed of dropout and of the order of the batches.
        accumulate: Number of parts in which the sequences of a step are taken.
        mixed_precision: `no`, `bf16` or `fp16`, as accelerate names them.
        cpu: Whether to stay on the CPU even where there is a GPU.
        trackers: Experiment trackers that also log the events.
    """

    steps: int
    batch_size: int
    warmup_steps: int
    max_grad_norm: float
    watch_every: int
    checkpoint_every: int
    seed: int
    accumulate: int = 1
    mixed_precision: str = "no"
    cpu: bool = False
    trackers: tuple[TrackerName, ...] = ()

    def __post_init__(self) -> None:
        check_parts(self.batch_size, self.accumulate)


class Loop:
    """One resumable training of a model; `run()` does it.

    Args:
        model: Model that gives a loss for `input_ids` and `labels`; sharding needs a hybrid.
        groups: AdamW parameter groups, each with its `name`, `lr`, `weight_decay` and `schedule`;
            none where only the strategy learns.
        dataset: Data set or stream of items with `input_ids` and `labels`, (T,) each.
        options: How long and how to train.
        folder: Folder of the run.
        events: Events of the run.
        strategy: Strategy that moves the mixture weights; None where they stay.
        held_out: Held-out text for the strategy.
        section: Part of the run that this training is; all of it if None.
        settings: Settings that a checkpoint must share to be continued from.

    Raises:
        ValueError: A data set has fewer sequences than one batch takes, or a stream has none.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        groups: list[dict],
        dataset: Dataset,
        options: LoopOptions,
        folder: Path,
        events: Events,
        strategy: "Strategy | None" = None,
        held_out: "HeldOut | None" = None,
        section: Section | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.options = options
        self.section = section or Section()
        self.strategy = strategy
        self.accelerator = Accelerator(
            mixed_precision=options.mixed_precision,
            cpu=options.cpu,
            dataloader_config=DataLoaderConfiguration(
                use_seedable_sampler=True, data_seed=options.seed, split_batches=True
            ),
            # A component that is pruned from a block leaves parameters without gradients.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
            **tracker_arguments(folder, options.trackers),
        )
        tracked = TrackedEvents(events, self.accelerator, folder, self.section.first_step)
        self.events: Events = SectionEvents(tracked, self.section)
        self.sharded = is_sharded(self.accelerator)
        self._prepare(model, groups)
        self.batches = Batches(self.accelerator, dataset, options.batch_size // options.accumulate)
        if strategy is not None:
            strategy.attach(self, held_out)
        checkpoints = folder / CHECKPOINTS_FOLDER / self.section.name
        self.checkpoints = Checkpoints(checkpoints, self.accelerator, self.warn, settings)

    def _prepare(self, model: PreTrainedModel, groups: list[dict]) -> None:
        if self.sharded:
            plan_sharding(self.accelerator, cast("ManticoreForCausalLM", model))
        elif sharding_is_asked_for():
            self.warn(
                "Accelerate shards weights on GPUs only: here each process keeps all of them."
            )
        self.optimizer = self.schedule = None
        if not groups:
            self.model = self.accelerator.prepare(model)
            return
        # Sharding puts other parameters in the place of those that the optimizer knows, so both are
        # prepared at once.
        optimizer = torch.optim.AdamW(groups)
        schedule = self._schedule(optimizer, [group["schedule"] for group in groups])
        self.model, self.optimizer, self.schedule = self.accelerator.prepare(
            model, optimizer, schedule
        )

    def warn(self, message: str) -> None:
        """Warn those who watch the run.

        Args:
            message: What is wrong, and what follows.
        """
        self.events.emit("warning", message=message)

    @property
    def groups(self) -> list[dict]:
        """The optimizer's parameter groups, with the learning rates of the moment."""
        return [] if self.optimizer is None else self.optimizer.param_groups

    def prepared(
        self, optimizer: Optimizer, *schedules: str
    ) -> tuple[AcceleratedOptimizer, AcceleratedScheduler]:
        """A strategy's own optimizer under the accelerator, and this loop's learning rates.

        Args:
            optimizer: Optimizer of parameters of the mixture.
            schedules: Name of a schedule for each of its groups.

        Raises:
            ValueError: Weights are sharded.
        """
        if self.sharded:
            raise ValueError(
                "Under FSDP accelerate keeps only one optimizer, and this strategy needs one of "
                "its own: run without FSDP, or choose a strategy without one, such as darts."
            )
        return self.accelerator.prepare(optimizer, self._schedule(optimizer, schedules))

    def _schedule(self, optimizer: Optimizer, names: Sequence[str]) -> LambdaLR:
        warmup = min(self.options.warmup_steps, self.options.steps // 2)
        factors = [learning_rate_factor(name, warmup, self.options.steps) for name in names]
        return LambdaLR(optimizer, factors)

    def run(
        self,
        watch: Callable[[int], None],
        step_done: Callable[[int, float], None],
        stop: Callable[[], bool],
    ) -> int:
        """Train from the newest checkpoint, or from the start, to the end or until told to stop.

        Args:
            watch: Called with the number of steps done, every `watch_every` steps and at the end;
                it must not change the model or draw from the global random state.
            step_done: Called after each step with the number of steps done and its loss.
            stop: Called after each step; a checkpoint is written before the loop leaves.

        Returns:
            The number of steps done.

        Raises:
            DivergedError: The loss is not finite.
        """
        step = self.checkpoints.restore()
        options = self.options
        clock = Clock(evaluation=options.watch_every, checkpoint=options.checkpoint_every)
        if step == 0:
            found = {} if self.strategy is None else self.strategy.before_training()
            if found:
                self.events.emit("fit", **found)
            watch(0)
            clock.spent_on("evaluation")
        batches = self.batches.after(step * options.accumulate)
        processes = self.accelerator.num_processes
        while step < options.steps:
            taken = list(islice(batches, options.accumulate))
            # Dropout is a function of the step, whatever else drew random numbers before; and it
            # differs between processes, which have different sequences.
            seed = (options.seed * 1_000_003 + step * processes) % 2**31
            set_seed(seed, device_specific=True)
            loss = self._step(taken, step)
            step += 1
            n_tokens = sum(batch["input_ids"].numel() for batch in taken)
            n_tokens *= self.accelerator.num_processes
            rate = clock.step_done(n_tokens)
            self.events.emit(
                "step",
                step=step,
                loss=loss,
                lr={group["name"]: group["lr"] for group in self.groups},
                tokens_per_s=rate,
                eta_s=clock.left(options.steps - step + self.section.later, n_tokens),
            )
            step_done(step, loss)
            stopping = self._any(stop())
            if step % options.watch_every == 0 or step == options.steps:
                watch(step)
                clock.spent_on("evaluation")
            if step % options.checkpoint_every == 0 or step == options.steps or stopping:
                self.checkpoints.save(step)
                clock.spent_on("checkpoint")
            if stopping:
                break
        return step

    def loss(
        self, batches: Sequence[Batch], n_predicted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The training loss of batches together, (), for the optimizer: with graph.

        Args:
            batches: Batches whose tokens all count alike.
            n_predicted: Predicted tokens that the sum is divided by; those of `batches` if None.
        """
        self.model.train()
        of = self.n_predicted(batches) if n_predicted is None else n_predicted
        losses = [self.model(**batch, num_items_in_batch=of).loss for batch in batches]
        return torch.stack(losses).sum()

    def training_sequences(self, n: int) -> torch.Tensor:
        """Up to n training sequences, spread over the data set, (n, T) token ids.

        Args:
            n: Number of sequences.

        Raises:
            ValueError: Weights are sharded.
        """
        if self.sharded:
            raise ValueError(
                "Under FSDP no process has a whole component to score text with: set "
                "router.fit_steps to 0, or continue from a search without FSDP and with steps=0."
            )
        return self.batches.spread(n).to(self.accelerator.device)

    @torch.no_grad()
    def held_out_loss(self, held_out: "HeldOut", n_batches: int, number: int = 0) -> float:
        """Mean loss per token over held-out batches, in nats; the same on every process.

        Args:
            held_out: Held-out text.
            n_batches: Number of batches.
            number: Which: batches `number * n_batches` and the following.
        """
        model = self.accelerator.unwrap_model(self.model)
        model.eval()
        total = 0.0
        for index in range(number * n_batches, (number + 1) * n_batches):
            batch = held_out.batch(index, self.options.batch_size, self.accelerator.device)
            with self.accelerator.autocast():
                total += float(model(**batch, use_cache=False).loss)
        return total / n_batches

    def held_out_parts(self, held_out: "HeldOut", number: int) -> list[Batch]:
        """This process's share of a held-out batch, in the parts that a step is taken in.

        Args:
            held_out: Held-out text.
            number: Number of the batch.
        """
        batch = held_out.batch(number, self.options.batch_size, self.accelerator.device)
        processes, parts = self.accelerator.num_processes, self.options.accumulate
        share = slice(self.accelerator.process_index, None, processes)
        split = {name: tensor[share].chunk(parts) for name, tensor in batch.items()}
        return [dict(zip(split, part, strict=True)) for part in zip(*split.values(), strict=True)]

    def _any(self, wish: bool) -> bool:
        """Whether any process wishes it, so that all do the same."""
        if self.accelerator.num_processes == 1:
            return wish
        wishes = torch.tensor(float(wish), device=self.accelerator.device)
        return over_processes(self.accelerator, wishes, "sum").item() > 0

    def _step(self, batches: list[Batch], step: int) -> float:
        if self.strategy is not None:
            self.strategy.before_step(step, batches)
        value = self._backward(batches)
        if not math.isfinite(value):
            raise DivergedError(
                f"The loss is {value} at step {step + 1}: lower the learning rates, or start from "
                "mixture weights farther from a corner."
            )
        if self.sharded and self.strategy is not None:
            average_gradients(self.accelerator, self.strategy.hybrid.mixture)
        if self.strategy is not None:
            self.strategy.after_backward(step)
        if self.optimizer is not None and self.schedule is not None:
            trained = [parameter for group in self.groups for parameter in group["params"]]
            if self.sharded:
                clip_gradients(self.accelerator, trained, self.options.max_grad_norm)
            else:
                self.accelerator.clip_grad_norm_(trained, self.options.max_grad_norm)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
        if self.strategy is not None:
            self.strategy.after_step(step)
        return value

    def _backward(self, batches: list[Batch]) -> float:
        """Gradients of a step, part by part; its mean loss per token over all processes."""
        n_predicted = self.n_predicted(batches)
        total = torch.zeros((), device=self.accelerator.device)
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            # Processes need not agree before the last part.
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self.loss([batch], n_predicted)
                total += loss.detach()
                penalty = self.strategy.penalty() if last and self.strategy is not None else None
                loss = loss if penalty is None else loss + penalty
                if loss.requires_grad:
                    self.accelerator.backward(loss)
        return over_processes(self.accelerator, total, "mean").item()

    def n_predicted(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Predicted labels of batches, (), divided by the processes, whose gradients are averaged.

        Args:
            batches: Batches of one step.
        """
        # Sequences that are classified have one label each.
        labels = [batch["labels"] for batch in batches]
        predicted = [own[:, 1:] if own.ndim > 1 else own for own in labels]
        counts = torch.stack([(own != -100).sum() for own in predicted])
        return over_processes(self.accelerator, counts.sum().float(), "mean")

"""The training loop that every stage shares, on accelerate."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import torch
from accelerate import Accelerator, skip_first_batches
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader, Dataset, IterableDataset
from transformers import PreTrainedModel
from transformers.optimization import get_cosine_with_min_lr_schedule_with_warmup

from manticore.train.checkpoints import Checkpoints
from manticore.train.events import EventWriter

_LOWEST_LR = 0.1
_SPEED_MEMORY = 0.9


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class LoopOptions:
    """How long and how to train.

    Attributes:
        steps: Optimizer steps in all.
        batch_size: Sequences per step.
        warmup_steps: Steps of linear warm-up before the cosine.
        max_grad_norm: Gradients are clipped to this norm.
        watch_every: Steps between calls of the stage's `watch`.
        checkpoint_every: Steps between checkpoints.
        seed: Decides the order of the batches.
        mixed_precision: accelerate's `no`, `bf16` or `fp16`.
        cpu: Stay on the CPU even where there is a GPU.
    """

    steps: int
    batch_size: int
    warmup_steps: int
    max_grad_norm: float
    watch_every: int
    checkpoint_every: int
    seed: int
    mixed_precision: str = "no"
    cpu: bool = False


class Loop:
    """One resumable training of a model; `run()` does it.

    Args:
        model: Gives a loss for `input_ids` and `labels`.
        groups: AdamW parameter groups, each with its `name`, `lr` and `weight_decay`.
        dataset: Items with `input_ids` and `labels`, (T,) each.
        options: How long and how.
        folder: Where checkpoints go.
        events: Where `step` events go.

    Raises:
        ValueError: Fewer sequences than one batch takes; of a stream, none.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        groups: list[dict],
        dataset: Dataset,
        options: LoopOptions,
        folder: Path,
        events: EventWriter,
    ) -> None:
        self.options = options
        self.events = events
        self.accelerator = Accelerator(
            mixed_precision=options.mixed_precision,
            cpu=options.cpu,
            dataloader_config=DataLoaderConfiguration(
                use_seedable_sampler=True, data_seed=options.seed
            ),
        )
        optimizer = torch.optim.AdamW(groups)
        schedule = get_cosine_with_min_lr_schedule_with_warmup(
            optimizer,
            num_warmup_steps=min(options.warmup_steps, options.steps // 2),
            num_training_steps=options.steps,
            min_lr_rate=_LOWEST_LR,
        )
        self.model, self.optimizer, self.schedule, self.loader = self.accelerator.prepare(
            model, optimizer, schedule, _loader(dataset, options)
        )
        self.checkpoints = Checkpoints(folder, self.accelerator)

    def run(
        self,
        watch: Callable[[int], None],
        step_done: Callable[[int], None],
        stop: Callable[[], bool],
    ) -> int:
        """Train from the newest checkpoint, or from the start, to the end or until told to stop.

        Args:
            watch: Called with the number of steps done every `watch_every` steps and at the end;
                must not change the model or draw from the global random state.
            step_done: Called with the number of steps done after each.
            stop: Asked after each step; a checkpoint is written before the loop leaves.

        Returns:
            The number of steps done.

        Raises:
            DivergedError: The loss is not finite.
        """
        step = self.checkpoints.restore()
        options = self.options
        speed = _Speed()
        if step == 0:
            watch(0)
            speed.pause()
        for batch in self._batches(step):
            if step >= options.steps:
                break
            loss = self._step(batch, step)
            step += 1
            rate = speed.update(batch["input_ids"].numel())
            self.events.emit(
                "step",
                step=step,
                loss=loss,
                lr={group["name"]: group["lr"] for group in self.optimizer.param_groups},
                tokens_per_s=rate,
                eta_s=(options.steps - step) * batch["input_ids"].numel() / rate,
            )
            step_done(step)
            stopping = stop()
            if step % options.watch_every == 0 or step == options.steps:
                watch(step)
                speed.pause()
            if step % options.checkpoint_every == 0 or step == options.steps or stopping:
                self.checkpoints.save(step)
                speed.pause()
            if stopping:
                break
        return step

    def _step(self, batch: dict[str, torch.Tensor], step: int) -> float:
        self.model.train()
        loss = self.model(**batch).loss
        value = loss.item()
        if not math.isfinite(value):
            raise DivergedError(
                f"The loss is {value} at step {step + 1}: lower the learning rates, or start from "
                "mixture weights further from a corner."
            )
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.options.max_grad_norm)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return value

    def _batches(self, done: int) -> Iterator[dict[str, torch.Tensor]]:
        """Batches without end, epoch after epoch, from the one that follows `done` steps."""
        if isinstance(self.loader.dataset, IterableDataset):
            # A stream's epochs have no known length, so what was read is read again and passed by.
            yield from islice(self._epochs(0), done, None)
        epoch, skip = divmod(done, len(self.loader))
        self.loader.set_epoch(epoch)
        yield from skip_first_batches(self.loader, skip)
        yield from self._epochs(epoch + 1)

    def _epochs(self, first: int) -> Iterator[dict[str, torch.Tensor]]:
        for epoch in count(first):
            self.loader.set_epoch(epoch)
            yield from self.loader


class _Speed:
    """Tokens per second, smoothed; time spent elsewhere is left out."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.updates = 0
        self.last = time.perf_counter()

    def update(self, n_tokens: int) -> float:
        now = time.perf_counter()
        rate = n_tokens / max(now - self.last, 1e-9)
        self.last = now
        self.updates += 1
        # A plain mean at first, so that a slow first step is soon forgotten.
        kept = min(_SPEED_MEMORY, 1 - 1 / self.updates)
        self.rate = kept * self.rate + (1 - kept) * rate
        return self.rate

    def pause(self) -> None:
        self.last = time.perf_counter()


def _loader(dataset: Dataset, options: LoopOptions) -> DataLoader:
    if isinstance(dataset, IterableDataset):
        if next(iter(dataset), None) is None:
            raise ValueError("The training text gave no batch: give more text.")
        return DataLoader(dataset, batch_size=options.batch_size)
    if len(dataset) < options.batch_size:
        raise ValueError(
            f"The training text makes {len(dataset)} sequences, fewer than the batch size of "
            f"{options.batch_size}: give more text, or a smaller batch_size or seq_len."
        )
    return DataLoader(dataset, batch_size=options.batch_size, shuffle=True, drop_last=True)

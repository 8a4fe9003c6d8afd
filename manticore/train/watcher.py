"""What a stage reports while it trains: mixture weights, held-out perplexity, samples, warnings."""

import math
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.utils.data import Dataset

from manticore.evaluate import alignment_error, measure_text
from manticore.train.events import EventWriter
from manticore.train.sampling import sample_text

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM
    from manticore.search.config import TrainConfig

COLLAPSED = 0.95
POOR_ALIGNMENT = 1.0
"""Relative error of what enters a block: at 1 the projector is no better than a constant."""
_ALIGNMENT_SEQUENCES = 16
_RISE = 1.05


Measure = Callable[..., dict[str, float]]
"""Numbers by name, `perplexity` among them, of (model, dataset, batch_size=, max_batches=)."""


class Data(Protocol):
    """What a hybrid is trained and measured on.

    Attributes:
        train, valid: Items with `input_ids` and `labels`.
        floor: Nats per token that no mean loss can be below; None where that is not known.
    """

    train: Dataset
    valid: Dataset
    floor: float | None


class Watcher:
    """Turns what happens in training into events.

    Args:
        hybrid: What trains.
        data: The held-out part is what is measured on.
        options: Of the stage.
        events: The run's event stream.
        alone: Perplexity of each component as it came.
        losses: The training losses so far, oldest first, asked when they are needed.
        measure: What is measured.
    """

    def __init__(
        self,
        hybrid: "ManticoreForCausalLM",
        data: Data,
        options: "TrainConfig",
        events: EventWriter,
        alone: dict[str, float],
        losses: Callable[[], list[float]],
        measure: Measure = measure_text,
    ) -> None:
        self.hybrid, self.data, self.options = hybrid, data, options
        self.events, self.alone, self.losses = events, alone, losses
        self.measure, self.measured = measure, None

    def step_done(self, step: int) -> None:
        """Report the mixture weights."""
        self.events.emit(
            "mixture",
            step=step,
            weights=self.hybrid.mixture_weights,
            components=self.hybrid.component_names,
        )

    def watch(self, step: int) -> None:
        """Report what is measured on the held-out part, and a sample."""
        if step == 0:
            self.step_done(0)
        self._evaluate(step)
        prompt = self.options.sample_prompt
        if prompt:
            text = sample_text(self.hybrid, prompt, self.options.sample_tokens)
            self.events.emit("sample", step=step, prompt=prompt, text=text)

    def settled(self, step: int) -> None:
        """Report the mixture weights that the strategy chose in the end, and measure them."""
        self.step_done(step)
        self._evaluate(step)

    def measure_all(self, step: int) -> dict[str, Any]:
        """Report what is measured on all of the held-out part, and return it."""
        if len(self.data.valid) > self.options.batch_size * self.options.eval_batches:
            self._evaluate(step, max_batches=None)
        return self.metrics(step)

    def _evaluate(self, step: int, **options: Any) -> None:
        self.measured = self._measure(**options)
        self.events.emit("eval", step=step, metrics=self.metrics(step))

    def _measure(self, **options: Any) -> dict[str, float]:
        few = {"batch_size": self.options.batch_size, "max_batches": self.options.eval_batches}
        return self.measure(self.hybrid, self.data.valid, **few | options)

    def metrics(self, step: int) -> dict[str, Any]:
        """What was measured of the hybrid, its perplexity beside that of each component alone."""
        if self.measured is None:
            self.measured = self._measure()
        return {
            "step": step,
            **self.measured,
            "components": self.alone,
            "floor": None if self.data.floor is None else float(self.data.floor),
        }

    def warn(self) -> None:
        """Say so when the hybrid shows a known sign of failure."""
        for message in [*self._collapsed(), *self._misaligned(), *self._rising(), *self._worse()]:
            self.events.emit("warning", message=message)

    def _collapsed(self) -> list[str]:
        names = self.hybrid.component_names
        return [
            f"Block {block + 1} collapsed to '{names[row.index(max(row))]}' ({max(row):.2f}): a "
            "lower mixture_lr, or a negative entropy, keeps it open for longer."
            for block, row in enumerate(self.hybrid.mixture_weights.tolist())
            if max(row) > COLLAPSED and len(row) > 1
        ]

    def _misaligned(self) -> list[str]:
        alpha = self.hybrid.mixture_weights
        # A block that takes no part, or is alone, does not use its projectors.
        used = (alpha > 0) & (alpha < 1)
        # A component that has learned with the hybrid has other states of its own than it had.
        if self.options.component_lr > 0 or not used.any():
            return []
        sequences = [item["input_ids"] for item in islice(self.data.valid, _ALIGNMENT_SEQUENCES)]
        errors = alignment_error(self.hybrid, torch.stack(sequences).to(self.hybrid.device)).into
        return [
            f"Block {block + 1} hands '{self.hybrid.component_names[k]}' states far from its own "
            f"(relative error {errors[block, k]:.2f}): train the projectors first, or start from "
            "projector_init='aligned'."
            for block, k in used.nonzero().tolist()
            if errors[block, k] > POOR_ALIGNMENT
        ]

    def _rising(self) -> list[str]:
        losses = [loss for loss in self.losses() if loss is not None]
        quarter = len(losses) // 4
        if quarter < 5:
            return []
        last = sum(losses[-quarter:]) / quarter
        before = sum(losses[-2 * quarter : -quarter]) / quarter
        if last <= _RISE * before:
            return []
        return [
            f"The training loss rose at the end, from {before:.3f} to {last:.3f} nats per token: "
            "lower the learning rates."
        ]

    def _worse(self) -> list[str]:
        if not self.alone:
            return []
        best, reached = min(self.alone, key=self.alone.get), self.measured["perplexity"]
        if math.isfinite(reached) and reached <= self.alone[best]:
            return []
        return [
            f"The hybrid's perplexity {reached:.2f} is worse than that of '{best}' alone, "
            f"{self.alone[best]:.2f}: train for more steps."
        ]

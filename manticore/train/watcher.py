"""What a stage reports while it trains: mixture weights, held-out perplexity, samples, warnings."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.utils.data import Dataset

from manticore.evaluate import alignment_error, measure_text
from manticore.hybrid.sampling import sample_text
from manticore.store.events import EventWriter
from manticore.train.signs import collapsed, misaligned, rising, worse

if TYPE_CHECKING:
    from manticore.config.search import TrainConfig
    from manticore.hybrid import ManticoreForCausalLM

_ALIGNMENT_SEQUENCES = 16

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
        alone: Perplexity of each component as the run finds it.
        losses: The training losses so far, oldest first, asked when they are needed.
        measure: What is measured.
        whole: Whether all weights are in this process: shards cannot be run block by block.
        said: Signs of failure that an earlier worker has told of.
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
        whole: bool = True,
        said: Iterable[str] = (),
    ) -> None:
        self.hybrid, self.data, self.options = hybrid, data, options
        self.events, self.alone, self.losses = events, alone, losses
        self.measure, self.measured = measure, None
        self.whole = whole
        self.first, self.said = hybrid.mixture_weights.cpu(), set(said)

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
        self._say(self._signs() if step else self._misaligned(learning=True))
        prompt = self.options.sample_prompt
        if prompt:
            text = sample_text(self.hybrid, prompt, self.options.sample_tokens)
            self.events.emit("sample", step=step, prompt=prompt, text=text)

    def settled(self, step: int, found: dict[str, Any]) -> None:
        """Report the mixture weights that the strategy chose in the end, and measure them.

        Args:
            step: The last.
            found: What the strategy measured to choose by; it goes along.
        """
        self.step_done(step)
        self._evaluate(step, found)

    def measure_all(self, step: int) -> dict[str, Any]:
        """Report what is measured on all of the held-out part, and return it."""
        if len(self.data.valid) > self.options.batch_size * self.options.eval_batches:
            self._evaluate(step, max_batches=None)
        return self.metrics(step)

    def _evaluate(self, step: int, found: dict[str, Any] | None = None, **options: Any) -> None:
        self.measured = self._measure(**options)
        self.events.emit("eval", step=step, metrics=self.metrics(step) | (found or {}))

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
        """Say the signs of failure that show at the end."""
        self._say(self._signs() | worse(self.measured["perplexity"], self.alone))
        self._say(self._misaligned(learning=False))

    def _signs(self) -> dict[str, str]:
        strategy = getattr(self.options, "strategy", "fixed")
        alpha, names = self.hybrid.mixture_weights.cpu(), self.hybrid.component_names
        return collapsed(alpha, self.first, names, strategy) | rising(self.losses())

    def _misaligned(self, learning: bool) -> dict[str, str]:
        """What is misaligned in a hybrid whose components learn, or in one where they are frozen.

        Components that have learned with the hybrid have other states of their own than they had,
        so where they learn the start is looked at, and else the end.
        """
        if (self.options.component_lr > 0) != learning or not self.whole:
            return {}
        alpha = self.hybrid.mixture_weights.cpu()
        # Of tasks the components know nothing; and not every mixture has use for projectors.
        if not self.alone or not ((alpha > 0) & (alpha < 1)).any():
            return {}
        sequences = [item["input_ids"] for item in islice(self.data.valid, _ALIGNMENT_SEQUENCES)]
        errors = alignment_error(self.hybrid, torch.stack(sequences).to(self.hybrid.device))
        return misaligned(errors.into, alpha, self.hybrid.component_names)

    def _say(self, signs: dict[str, str]) -> None:
        """Each once."""
        for sign, message in signs.items():
            if sign not in self.said:
                self.said.add(sign)
                self.events.emit("warning", message=message, sign=sign)

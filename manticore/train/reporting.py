"""What a stage reports while it trains: mixture weights, held-out perplexity, samples, warnings."""

import math
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import torch

from manticore.components.tokenizers import token_texts
from manticore.config.training import PretrainConfig, TrainConfig
from manticore.evaluate import alignment_error, measure_text
from manticore.hybrid.generation import sample_text
from manticore.hybrid.routing import RoutedMixture
from manticore.store.events import Events, last_per_step
from manticore.train.signs import collapsed, misaligned, rising, worse

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

_ALIGNMENT_SEQUENCES = 16
_AVERAGED_SEQUENCES = 16
PROBE_TOKENS = 160
"""Tokens whose mixture weights are reported at every evaluation, where each has its own."""
_PASSAGES = 4
_PASSAGES_FROM = 48
"""They are the beginnings of so many sequences, spread over so many of the held-out part: texts in
several languages should be there, while stories are longer than a sequence."""


class Data(Protocol):
    """What a hybrid is trained and measured on: items with `input_ids` and `labels`, (T,) each."""

    @property
    def train(self) -> Any:
        """Data set or stream to train on."""
        ...

    @property
    def valid(self) -> Any:
        """Held-out data set or stream to measure on."""
        ...

    @property
    def floor(self) -> Any:
        """Nats per token that no mean loss can be below; None where that is not known."""
        ...


class Measure(Protocol):
    """Measures a model on a data set."""

    def __call__(
        self, model: Any, dataset: Any, /, *, batch_size: int, max_batches: int | None
    ) -> dict[str, float]:
        """Numbers by name, `perplexity` among them."""
        ...


def passages_of(dataset: Any) -> list[torch.Tensor]:
    """Beginnings of sequences that are spread over a data set, `PROBE_TOKENS` ids together at most.

    Args:
        dataset: Data set or stream of items with `input_ids`, (T,).
    """
    first = [item["input_ids"] for item in islice(dataset, _PASSAGES_FROM)]
    chosen = first[:: max(1, len(first) // _PASSAGES)][:_PASSAGES]
    return [ids[: PROBE_TOKENS // len(chosen)] for ids in chosen]


class Reporter:
    """Turns what happens in training into events.

    Args:
        hybrid: Hybrid that is trained.
        data: Data set; its held-out part is what is measured on.
        options: Options of the stage.
        events: Events of the training. What earlier workers said in them is not said again.
        baselines: Perplexity of each component alone, before the run; empty where that means
            nothing.
        by_gradient: Whether the mixture weights follow a gradient.
        measure: Function that measures.
        whole: Whether all weights are in this process: shards cannot be run block by block.
    """

    def __init__(
        self,
        hybrid: "ManticoreForCausalLM",
        data: Data,
        options: TrainConfig,
        events: Events,
        baselines: Mapping[str, float],
        *,
        by_gradient: bool = False,
        measure: Measure = measure_text,
        whole: bool = True,
    ) -> None:
        self.hybrid, self.data, self.options = hybrid, data, options
        self.events, self.baselines = events, baselines
        self.by_gradient, self.measure, self.whole = by_gradient, measure, whole
        self.measured: dict[str, float] | None = None
        self.first = hybrid.mixture_weights.cpu()
        earlier = events.earlier
        self.said = {event["sign"] for event in earlier if "sign" in event}
        self.losses = [event["loss"] for event in last_per_step(earlier, "step")]

    @cached_property
    def averaged(self) -> torch.Tensor:
        """(n, T) the first held-out sequences, over which routed mixture weights are averaged."""
        sequences = [item["input_ids"] for item in islice(self.data.valid, _AVERAGED_SEQUENCES)]
        return torch.stack(sequences)

    @cached_property
    def passages(self) -> list[torch.Tensor]:
        """The passages whose mixture weights are reported token by token."""
        return passages_of(self.data.valid)

    def step_done(self, step: int, loss: float) -> None:
        """Report the mixture weights after a step.

        Args:
            step: Number of steps done.
            loss: Training loss of the step, in nats per token.
        """
        # A resumed run repeats the steps after its checkpoint.
        del self.losses[step - 1 :]
        self.losses.append(loss)
        self._report_mixture(step)

    def watch(self, step: int) -> None:
        """Report what is measured on the held-out part, and a sample.

        Args:
            step: Number of steps done.
        """
        if step == 0:
            self._report_mixture(0)
        self._evaluate(step)
        self._say(self._signs() if step else self._misaligned(learning=True))
        if self.hybrid.is_routed:
            self._probe(step)
        prompt = self.options.sample_prompt
        if prompt:
            text = sample_text(self.hybrid, prompt, self.options.sample_tokens)
            self.events.emit("sample", step=step, prompt=prompt, text=text)

    def settled(self, step: int, found: Mapping[str, Any]) -> None:
        """Report the mixture weights that the strategy chose in the end, and measure them.

        Args:
            step: Number of steps done.
            found: What the strategy measured to choose by; it is reported too.
        """
        self._report_mixture(step)
        self._evaluate(step, found)

    def measure_all(self, step: int) -> dict[str, Any]:
        """Report what is measured on all of the held-out part, and return it.

        Args:
            step: Number of steps done.
        """
        if len(self.data.valid) > self.options.batch_size * self.options.eval_batches:
            self._evaluate(step, max_batches=None)
        return self.metrics(step)

    def metrics(self, step: int) -> dict[str, Any]:
        """What was measured of the hybrid, with the perplexity of each component alone.

        Args:
            step: Number of steps done.
        """
        return {
            "step": step,
            **self._last_measured(),
            "components": self.baselines,
            "floor": None if self.data.floor is None else float(self.data.floor),
        }

    def warn(self) -> None:
        """Report the signs of failure that show at the end."""
        perplexity = self._last_measured()["perplexity"]
        self._say(self._signs() | worse(perplexity, self.baselines))
        self._say(self._misaligned(learning=False))

    def _report_mixture(self, step: int) -> None:
        mixture = self.hybrid.mixture
        if isinstance(mixture, RoutedMixture):
            mixture.remember(self.averaged)
        self.events.emit(
            "mixture",
            step=step,
            weights=self.hybrid.mixture_weights,
            components=self.hybrid.component_names,
        )

    def _probe(self, step: int) -> None:
        """Report the mixture weights of every token in some passages of the held-out part."""
        tokenizer, tokens, starts = self.hybrid.tokenizer, [], []
        for ids in self.passages:
            starts.append(len(tokens))
            listed = ids.tolist()
            tokens += map(str, listed) if tokenizer is None else token_texts(tokenizer, listed)
        weights = torch.cat([self.hybrid.mixture_of(ids) for ids in self.passages])
        self.events.emit(
            "probe",
            step=step,
            tokens=tokens,
            starts=starts,
            weights=weights.mul(1e4).round().div(1e4),
            components=self.hybrid.component_names,
        )

    def _evaluate(
        self, step: int, found: Mapping[str, Any] | None = None, **options: int | None
    ) -> None:
        self.measured = self._measure(**options)
        self.events.emit("eval", step=step, metrics={**self.metrics(step), **(found or {})})

    def _last_measured(self) -> dict[str, float]:
        """What was measured last; measured now if nothing was before."""
        if self.measured is None:
            self.measured = self._measure()
        return self.measured

    def _measure(self, **options: int | None) -> dict[str, float]:
        few = {"batch_size": self.options.batch_size, "max_batches": self.options.eval_batches}
        return self.measure(self.hybrid, self.data.valid, **{**few, **options})

    def _signs(self) -> dict[str, str]:
        alpha, names = self.hybrid.mixture_weights.cpu(), self.hybrid.component_names
        signs = rising(self.losses)
        # A row at a corner is what was wanted where the hybrid is better than all its components.
        best = min(self.baselines.values(), default=-math.inf)
        if not self.by_gradient or self._last_measured()["perplexity"] < best:
            return signs
        return signs | collapsed(alpha, self.first, names)

    def _misaligned(self, learning: bool) -> dict[str, str]:
        """What is misaligned in a hybrid whose components learn, or in one where they are frozen.

        Components that have learned with the hybrid have other states of their own than they had,
        so where they learn the start is looked at, and elsewhere the end. Identity projectors
        cannot be trained or aligned, and where they are being pretrained they have followed the
        loss: what a block is handed then is of use, whatever it would have seen alone.
        """
        if isinstance(self.options, PretrainConfig):
            return {}
        if (self.options.component_lr > 0) != learning or not self.whole:
            return {}
        if not sum(parameter.numel() for parameter in self.hybrid.projectors.parameters()):
            return {}
        alpha = self.hybrid.mixture_weights.cpu()
        # Components know nothing of tasks; not every mixture has use for projectors; and errors at
        # the mean of a routed mixture are those of no token.
        if not self.baselines or not ((alpha > 0) & (alpha < 1)).any() or self.hybrid.is_routed:
            return {}
        sequences = [item["input_ids"] for item in islice(self.data.valid, _ALIGNMENT_SEQUENCES)]
        errors = alignment_error(self.hybrid, torch.stack(sequences).to(self.hybrid.device))
        return misaligned(errors.into, alpha, self.hybrid.component_names)

    def _say(self, signs: Mapping[str, str]) -> None:
        """Report each sign once."""
        for sign, message in signs.items():
            if sign not in self.said:
                self.said.add(sign)
                self.events.emit("warning", message=message, sign=sign)

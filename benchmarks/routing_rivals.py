"""What routed hybrids are compared with, besides trained hybrids and components."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import nll_loss, one_hot
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

import manticore as mc
from benchmarks.harness import time_side_by_side
from benchmarks.routing_texts import Target
from manticore.hybrid import ManticoreForCausalLM
from manticore.search.router_fit import component_losses

N_BLOCKS, COUNTED_STEPS, TIMED_ROUNDS = 4, 8, 5


class Outputs(torch.nn.Module):
    """Components whose outputs are mixed, their logits or their probabilities.

    Args:
        models: Hybrid of the components; only its router is used besides them.
        weights: Weights of the components; None for the router's.
        probabilities: Whether probabilities are mixed instead of logits.
    """

    def __init__(
        self,
        models: ManticoreForCausalLM,
        weights: tuple[float, ...] | None,
        probabilities: bool,
    ) -> None:
        super().__init__()
        self.models, self.weights, self.probabilities = models, weights, probabilities
        self.device = models.device

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        """As a causal language model."""
        outputs = [
            model(input_ids=input_ids, use_cache=use_cache) for model in self.models.components
        ]
        if self.weights is None:
            alpha = self.models.mixture.weights_of(input_ids)[:, :, -1]  # (B, T, K)
        else:
            alpha = torch.tensor(self.weights)
        logits = torch.stack([output.logits for output in outputs], dim=-1)  # (B, T, V, K)
        if self.probabilities:
            weights = alpha.clamp_min(torch.finfo(torch.float32).tiny).log()
            mixed = (logits.log_softmax(dim=-2) + weights[..., None, :]).logsumexp(dim=-1)
        else:
            mixed = (logits * alpha[..., None, :]).sum(dim=-1)
        outputs[0].logits = mixed
        return outputs[0]


@torch.no_grad()
def best_weights(
    models: ManticoreForCausalLM,
    dataset: Dataset,
    points: Sequence[tuple[float, ...]],
    probabilities: bool,
) -> tuple[float, ...]:
    """The weights of an ensemble with the smallest loss on a text.

    Args:
        models: Hybrid of the components.
        dataset: The text.
        points: Weights to choose from.
        probabilities: Whether probabilities are mixed instead of logits.
    """
    totals = torch.zeros(len(points))
    for batch in DataLoader(dataset, batch_size=8):
        ids, labels = batch["input_ids"], batch["labels"][:, 1:].flatten()
        own = torch.stack(
            [model(input_ids=ids, use_cache=False).logits[:, :-1] for model in models.components],
            dim=-1,
        ).flatten(0, 1)  # (n, V, K)
        own = own.log_softmax(dim=1).exp() if probabilities else own
        for index, point in enumerate(points):
            mixed = own @ torch.tensor(point)
            mixed = mixed.log() if probabilities else mixed.log_softmax(dim=-1)
            totals[index] += nll_loss(mixed, labels, ignore_index=-100, reduction="sum")
    return points[int(totals.argmin())]


class Oracle(torch.nn.Module):
    """A hybrid with one-hot mixture weights by the component that knows each paragraph best."""

    def __init__(self, hybrid: ManticoreForCausalLM) -> None:
        super().__init__()
        self.hybrid, self.device = hybrid, hybrid.device

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        """As a causal language model."""
        own = best_of_paragraphs(self.hybrid, input_ids)
        # The mixture weights of a token are for the prediction of the next one.
        own[:, :-1] = own[:, 1:].clone()
        K = len(self.hybrid.components)
        alpha = one_hot(own, K).float()[:, :, None].expand(-1, -1, N_BLOCKS, -1)
        return self.hybrid(input_ids, use_cache=use_cache, mixture_weights=alpha)


def best_of_paragraphs(hybrid: ManticoreForCausalLM, input_ids: torch.Tensor) -> torch.Tensor:
    """Index of the component that knows a paragraph or story best as a whole, by token, (n, T)."""
    losses = component_losses(hybrid, input_ids)
    assert hybrid.tokenizer is not None
    own = torch.zeros_like(input_ids)
    for row, ids in enumerate(input_ids):
        tokens = hybrid.tokenizer.batch_decode(ids[:, None])
        end = hybrid.tokenizer.eos_token
        ends = [i + 1 for i, token in enumerate(tokens) if token == end or "\n\n" in token]
        for start, stop in pairwise([0, *ends, len(ids)]):
            if start < stop:
                own[row, start:stop] = losses[row, start:stop].sum(dim=0).argmin()
    return own


def costs_of_steps(
    target: Target, routed: ManticoreForCausalLM | None
) -> dict[str, dict[str, float]]:
    """FLOPs and seconds of a training step and of a scoring pass of a batch, by model.

    Matrix products are counted, as PyTorch does; the scan, whose operations are elementwise, is
    not. A routed hybrid runs what its router asks for, so it is counted over several batches.

    Args:
        target: The text.
        routed: Routed hybrid, fitted to it; None to leave it out.
    """
    sources = dict(zip(target.names, target.components, strict=True))
    models = {name: mc.build_hybrid([source], N_BLOCKS) for name, source in sources.items()}
    models["static"] = mc.build_hybrid(list(target.components), N_BLOCKS)
    if routed is not None:
        models["routed"] = routed
    size, train = target.batch_size, target.data.train
    first = range(0, size * COUNTED_STEPS, size)
    batches = [torch.stack([train[i + j]["input_ids"] for j in range(size)]) for i in first]
    steps = {name: _Step(model, batches) for name, model in models.items()}
    scores = {f"score {name}": _Step(own, batches, learn=False) for name, own in models.items()}
    both = steps | scores
    seconds = time_side_by_side(both, TIMED_ROUNDS, inner=COUNTED_STEPS)
    counted = {name: step.count() for name, step in both.items()}
    return {t.name: {"flops": counted[t.name], "seconds": t.median_s} for t in seconds}


class _Step:
    """The training steps of a model, batch after batch, or its scoring of them."""

    def __init__(
        self, model: ManticoreForCausalLM, batches: list[torch.Tensor], learn: bool = True
    ) -> None:
        self.model, self.batches, self.learn, self.next = model, batches, learn, 0
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)

    def __call__(self) -> None:
        self.model.train(self.learn)
        ids = self.batches[self.next % len(self.batches)]
        self.next += 1
        with torch.set_grad_enabled(self.learn):
            loss = self.model(input_ids=ids, labels=ids, use_cache=False).loss
        if self.learn:
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def count(self) -> float:
        """FLOPs of a step, the mean over the batches."""
        with FlopCounterMode(display=False) as counter:
            for _ in self.batches:
                self()
        return counter.get_total_flops() / len(self.batches)

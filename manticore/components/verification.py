"""Does a model, run in slices of its layers, still give what it gives as a whole?

What inspection finds is only a guess. So the guess is tried on the model itself: without a cache,
with one that is continued by one and by several tokens, with padding on the left, and in one
forward that pauses between the slices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from manticore.components.block_cache import BlockCache, cache_layers
from manticore.components.families import UnknownFamilyError
from manticore.components.runner import BlockRunner
from manticore.components.spec import FamilySpec

_LENGTH = 12
_PADDING = 4
_CACHED_PARTS = ((0, 5), (5, 6), (6, _LENGTH))
# Largest difference in units of the logits' spread. Without a cache, the same operations run in
# the same order; with one, sums run over other tensors.
_SAME, _SAME_CACHED = 1e-4, 1e-3
_HALF_PRECISION = 100
"""How much more is allowed in float16 and bfloat16."""


@torch.no_grad()
def verify(model: PreTrainedModel, spec: FamilySpec) -> None:
    """Run the parts that the spec names apart and compare with the whole model.

    Args:
        model: The model; it is left as it was.
        spec: What inspection found.

    Raises:
        UnknownFamilyError: The parts cannot be run apart, or give other logits.
    """
    was_training = model.training
    model.eval()
    try:
        with _shaken(BlockRunner(model, spec).backbone):
            _verify(model, spec)
    finally:
        model.train(was_training)


def _verify(model: PreTrainedModel, spec: FamilySpec) -> None:
    vocabulary = cast("nn.Embedding", model.get_input_embeddings()).weight.shape[0]
    ids = (torch.arange(2 * _LENGTH, device=model.device).view(2, -1) + 2) % vocabulary
    mask = torch.ones_like(ids)
    mask[1, :_PADDING] = 0
    whole = model(ids, use_cache=False).logits.float()
    alone = model(ids[1:, _PADDING:], use_cache=False).logits.float()
    half = model.dtype in (torch.float16, torch.bfloat16)
    spread = whole.std() * (_HALF_PRECISION if half else 1)
    passes = (
        ("", _SAME, lambda: _in_slices(model, spec, ids, None), whole),
        (" with a cache", _SAME_CACHED, lambda: _in_steps(model, spec, ids), whole),
        (
            " with padding on the left",
            _SAME,
            lambda: _in_slices(model, spec, ids, mask)[1:, _PADDING:],
            alone,
        ),
        (" in one forward", _SAME, lambda: _in_turns(model, spec, ids), whole),
    )
    for how, tolerance, run, expected in passes:
        try:
            logits = run().float()
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UnknownFamilyError(
                spec.model_type,
                f"its layers could not be run in slices{how} ({type(error).__name__}: {error})",
            ) from error
        difference = (logits - expected).abs().max()
        if not difference <= tolerance * spread:  # Not a number is a difference, too.
            raise UnknownFamilyError(
                spec.model_type,
                f"its layers, run in slices{how}, give other logits than the whole model (largest "
                f"difference {difference:.3g}, spread {whole.std():.3g}); {_HINTS[how]}",
            )


_HINTS = {
    "": "the backbone probably scales its input, adds something to it or hands something on from "
    "layer to layer beside the hidden states",
    " with a cache": "its layers probably do not continue a cache by several tokens at once",
    " with padding on the left": "the family probably counts positions from the padding",
    " in one forward": "its layers probably do not hand on their hidden states one to the other",
}


def _in_slices(
    model: PreTrainedModel, spec: FamilySpec, ids: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Logits, (B, T, V), of two slices of layers, one after the other."""
    positions = (torch.ones_like(ids) if mask is None else mask).cumsum(-1).sub(1).clamp_min(0)
    runner = BlockRunner(model, spec)
    hidden = runner.embed(ids, positions)
    for start, stop in _slices(runner):
        hidden = runner.run(
            start, stop, hidden, attention_mask=mask, position_ids=positions, cache=None
        )
    return runner.head(hidden)


def _in_turns(model: PreTrainedModel, spec: FamilySpec, ids: torch.Tensor) -> torch.Tensor:
    """Logits, (B, T, V), of a forward that pauses between two slices of layers."""
    runner = BlockRunner(model, spec)
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    cuts = [0, *(stop for _, stop in _slices(runner))]
    turns = runner.start(ids, cuts, attention_mask=None, position_ids=positions, cache=None)
    hidden = turns.embedded
    for _ in cuts:
        hidden = turns.go_on(hidden)
    return hidden


def _in_steps(model: PreTrainedModel, spec: FamilySpec, ids: torch.Tensor) -> torch.Tensor:
    """Logits, (B, T, V), of two slices of layers that keep a cache, a few tokens at a time."""
    runner = BlockRunner(model, spec)
    layers = cache_layers(model.config)
    logits = []
    for first, end in _CACHED_PARTS:
        positions = torch.arange(first, end, device=ids.device)[None]
        hidden = runner.embed(ids[:, first:end], positions)
        for start, stop in _slices(runner):
            hidden = runner.run(
                start,
                stop,
                hidden,
                attention_mask=None,
                position_ids=positions,
                cache=BlockCache(layers[start:stop], start, first),
            )
        logits.append(runner.head(hidden))
    return torch.cat(logits, dim=1)


def _slices(runner: BlockRunner) -> list[tuple[int, int]]:
    """A cut behind the first layer: kinds of layers that take turns are then out of step."""
    return [(0, 1), (1, runner.depth)] if runner.depth > 1 else [(0, 1)]


@contextmanager
def _shaken(backbone: nn.Module) -> Iterator[None]:
    """Give the backbone's own norms uneven weights for a while.

    Norms start at one, and normalizing twice then hardly differs from normalizing once: a mistake
    about them would only show after training.
    """
    weights = [
        weight
        for child in backbone.children()
        if "norm" in type(child).__name__.lower()
        for weight in child.parameters()
    ]
    kept = [weight.detach().clone() for weight in weights]
    for weight in weights:
        weight.add_(torch.linspace(-0.3, 0.3, weight.numel(), device=weight.device).view_as(weight))
    try:
        yield
    finally:
        for weight, before in zip(weights, kept, strict=True):
            weight.copy_(before)

"""Modules that a hybrid is made of: its components, their heads, and the mixed embedding."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from manticore.hybrid.blocks import HybridBlocks
from manticore.hybrid.mixture import PassWeights


class ComponentList(nn.ModuleList):
    """The components; it hands the properties that Transformers gathers from children upwards."""

    def __iter__(self) -> Iterator[PreTrainedModel]:
        return cast("Iterator[PreTrainedModel]", super().__iter__())

    def _gathered(self, attribute: str) -> set[str]:
        return {item for model in self for item in getattr(model, attribute, None) or ()}

    @property
    def all_tied_weights_keys(self) -> dict[str, str]:
        """Names of the components' tied weights, with the name of the weight each is tied to."""
        return {
            f"{k}.{tied}": f"{k}.{source}"
            for k, model in enumerate(self)
            for tied, source in model.all_tied_weights_keys.items()
        }

    @property
    def _keep_in_fp32_modules_strict(self) -> set[str]:
        return self._gathered("_keep_in_fp32_modules_strict")

    @property
    def _no_split_modules(self) -> set[str]:
        return self._gathered("_no_split_modules")

    @property
    def _skip_keys_device_placement(self) -> set[str]:
        return self._gathered("_skip_keys_device_placement")


class ComponentHead(nn.Module):
    """A component's head, as a module that no tool takes for one of the linear layers to change.

    Tools that act on "all linear layers" (adapters, quantization) leave out the head of a model,
    and ask the model for it (`get_output_embeddings`); but they leave out one, and a hybrid has K.
    Where a head is tied, an adapter that is merged into it would change the embeddings too.

    Only the class of the head changes: parameters, hooks and the state dict stay as they are.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Logits (..., V) from normalized hidden states (..., d_k)."""
        return nn.functional.linear(hidden_states, self.weight, self.bias)


def hide_heads(models: Iterable[PreTrainedModel]) -> None:
    """Turn the linear heads of components into `ComponentHead`, in place."""
    for model in models:
        head = model.get_output_embeddings()
        if type(head) is nn.Linear:
            cast(Any, head).__class__ = ComponentHead


@contextmanager
def plain_heads(models: Iterable[PreTrainedModel]) -> Iterator[None]:
    """Inside, the components' heads are linear layers, which Transformers' resizing insists on."""
    models = list(models)
    for model in models:
        head = model.get_output_embeddings()
        if type(head) is ComponentHead:
            cast(Any, head).__class__ = nn.Linear
    try:
        yield
    finally:
        hide_heads(models)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, without dropout, inside; afterwards the mode that there was.

    Args:
        model: Any model.
    """
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


class HybridEmbedding(nn.Module):
    """h[0], the mixed embeddings of all components; it has no weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: HybridBlocks | None = None
        self.weigh: Callable[[torch.Tensor, int], PassWeights] | None = None

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        weights: PassWeights | None = None,
        blocks: HybridBlocks | None = None,
    ) -> torch.Tensor:
        """The mixed embeddings.

        Args:
            input_ids: (B, T) token ids.
            position_ids: (B, T) or (1, T) positions; 0, 1, 2, ... if not given.
            weights: The mixture weights of the pass; those of the hybrid if not given.
            blocks: The blocks of the pass; those of the hybrid if not given.

        Returns:
            (B, T, D).
        """
        if self.blocks is None or self.weigh is None:
            raise RuntimeError("Take the embedding from hybrid.get_input_embeddings().")
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        given = weights if weights is not None else self.weigh(input_ids, input_ids.shape[1])
        return (blocks or self.blocks).embed(input_ids, position_ids, given)

"""A pretrained hybrid made ready for a task: its blocks as they are, over a vocabulary of numbers.

Programming finds out which blocks suit a task, so blocks and projectors stay as they were
pretrained; embeddings and heads, which stand for words, start from scratch. Or everything starts
from scratch, in the same shapes: the tasks then test the architectures rather than what they have
learned.
"""

import copy
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from manticore.components.scratch import number_tokenizer, untrained
from manticore.hybrid import ManticoreConfig, ManticoreForCausalLM
from manticore.hybrid.alignment import align_projectors, boundary_states, set_scales
from manticore.hybrid.build import ALIGNMENT_TOKENS
from manticore.hybrid.parts import plain_heads
from manticore.tasks.data import TaskData

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def hybrid_for_task(
    hybrid: ManticoreForCausalLM, data: TaskData, seed: int = 0, *, from_scratch: bool = False
) -> ManticoreForCausalLM:
    """A copy of a hybrid with fresh task embeddings and head.

    New embeddings are drawn with the mean and the standard deviation that the component's own have
    in each dimension, so that its blocks, the projectors and the boundary scales receive states of
    the usual size.

    Args:
        hybrid: Hybrid whose mixture weights, blocks and projectors are copied; it does not change.
        data: Data of the task.
        seed: Random seed of the fresh weights.
        from_scratch: Make fresh blocks too; projectors are then fitted on the task's own sequences,
            whatever the hybrid's projectors were made from.

    Returns:
        The copy, in evaluation mode, with a tokenizer of numbers.

    Raises:
        ValueError: A component learns an embedding of each position, and has fewer of them than
            the task's examples have tokens.
    """
    check_length(hybrid, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make = untrained if from_scratch else copy.deepcopy
        components = [make(model).cpu() for model in hybrid.components]
        with plain_heads(components):
            for model in components:
                _renew_vocabulary(model, data.setting.vocabulary)
        made = _assemble(hybrid, components, data)
        if from_scratch:
            _fit_projectors(made, data)
        else:
            made.projectors.load_state_dict(hybrid.projectors.state_dict())
    made.tokenizer = number_tokenizer(data.setting.vocabulary)
    made.fresh_vocabulary = True
    return made.to(hybrid.device).eval()


def check_length(hybrid: ManticoreForCausalLM, data: TaskData) -> None:
    """Raise ValueError for a task whose examples are longer than a component can take."""
    limit = hybrid.max_length
    if limit is not None and data.length > limit:
        raise ValueError(
            f"{data.name} at length {data.setting.length} makes examples of {data.length} tokens, "
            f"and a component of this hybrid takes at most {limit}: set a shorter length, "
            "or leave that component out."
        )


@torch.no_grad()
def _renew_vocabulary(model: "PreTrainedModel", vocabulary: int) -> None:
    embedding, head = _embedding_and_head(model)
    tied = head.weight is embedding.weight
    trained = embedding.weight.float()
    mean, spread = trained.mean(dim=0), trained.std(dim=0)
    spread_of_head = float(head.weight.float().std())
    model.resize_token_embeddings(vocabulary, mean_resizing=False)
    embedding, head = _embedding_and_head(model)
    embedding.weight.copy_(mean + spread * torch.randn(embedding.weight.shape))
    # The padding token of the words is an ordinary token here, and would never learn.
    embedding.padding_idx = None
    if not tied:
        head.weight.normal_(std=spread_of_head)
    if head.bias is not None:
        head.bias.zero_()
    model.config.bos_token_id = model.config.eos_token_id = model.config.pad_token_id = None


def _embedding_and_head(model: "PreTrainedModel") -> tuple[nn.Embedding, nn.Linear]:
    """The input embedding and the head of a component."""
    head = cast("nn.Linear", model.get_output_embeddings())
    return cast("nn.Embedding", model.get_input_embeddings()), head


def _assemble(
    hybrid: ManticoreForCausalLM, components: list["PreTrainedModel"], data: TaskData
) -> ManticoreForCausalLM:
    """The components joined at the hybrid's mixture weights, with projectors yet to be set."""
    own = hybrid.config
    config = ManticoreConfig(
        components=[model.config.to_dict() for model in components],
        component_names=list(own.component_names),
        component_sources=list(own.component_sources),
        n_blocks=own.n_blocks,
        projector=own.projector,
        head=data.head,
        scales=copy.deepcopy(own.scales),
        vocab_size=data.setting.vocabulary,
        dtype=hybrid.dtype,
    )
    made = ManticoreForCausalLM(config, components)
    made.set_mixture_weights(hybrid.mixture_weights)
    return made


def _fit_projectors(hybrid: ManticoreForCausalLM, data: TaskData) -> None:
    """Measure scales and fit projectors, on as many tokens as for a new hybrid."""
    # Not on all rows, as a search may hold out the last ones.
    rows = min(ALIGNMENT_TOKENS // data.length, len(data.train) // 2)
    ids = data.train.input_ids[: max(1, rows)]
    states = boundary_states(hybrid, ids)
    set_scales(hybrid, states)
    align_projectors(hybrid, ids, states)
    hybrid.eval()

"""A pretrained hybrid made ready for a task: its blocks as they are, over a vocabulary of numbers.

Programming asks which blocks suit a task, so blocks and projectors stay as they were pretrained;
embeddings and heads, which mean words, start again. Or everything starts again, in the same shapes:
then it is the architectures that are asked.
"""

import copy
from typing import TYPE_CHECKING

import torch

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

    New embeddings are drawn with the mean and the spread that the component's own have in each
    dimension, so that its blocks, the projectors and the boundary scales meet states of the sizes
    they know.

    Args:
        hybrid: It stays as it is. Its mixture weights, blocks and projectors are copied.
        data: The task.
        seed: For the fresh weights.
        from_scratch: Fresh blocks too; projectors are then fitted on the task's own sequences,
            however those of the hybrid came about.

    Returns:
        The copy, in evaluation mode, with a tokenizer of numbers.

    Raises:
        ValueError: A component that learns an embedding of each position has fewer of them than the
            task's examples have tokens.
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
    """Refuse a task (ValueError) that is longer than a component can run."""
    limit = hybrid.max_length
    if limit is not None and data.length > limit:
        raise ValueError(
            f"{data.name} at length {data.setting.length} makes examples of {data.length} tokens, "
            f"and a component of this hybrid takes at most {limit}: set a shorter length, "
            "or leave that component out."
        )


@torch.no_grad()
def _renew_vocabulary(model: "PreTrainedModel", vocabulary: int) -> None:
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head.weight is embedding.weight
    trained = embedding.weight.float()
    mean, spread = trained.mean(dim=0), trained.std(dim=0)
    spread_of_head = float(head.weight.float().std())
    has_bias = head.bias is not None
    model.resize_token_embeddings(vocabulary, mean_resizing=False)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    embedding.weight.copy_(mean + spread * torch.randn(embedding.weight.shape))
    # Of the words there were: here it would be a token like others, and never learn.
    embedding.padding_idx = None
    if not tied:
        head.weight.normal_(std=spread_of_head)
    if has_bias:
        head.bias.zero_()
    model.config.bos_token_id = model.config.eos_token_id = model.config.pad_token_id = None


def _assemble(
    hybrid: ManticoreForCausalLM, components: list["PreTrainedModel"], data: TaskData
) -> ManticoreForCausalLM:
    """The components joined by projectors that only pad or cut, at the hybrid's mixture weights."""
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
    """Measure sizes and fit projectors anew, on as many tokens as a new hybrid has for it."""
    # Not of all, as a search may keep the last for itself.
    rows = min(ALIGNMENT_TOKENS // data.length, len(data.train) // 2)
    ids = data.train.input_ids[: max(1, rows)]
    states = boundary_states(hybrid, ids)
    set_scales(hybrid, states)
    align_projectors(hybrid, ids, states)
    hybrid.eval()

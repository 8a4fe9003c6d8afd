"""Continuing text: what of a prompt fits, and short samples to read what a model has learned."""

import torch
from transformers import PreTrainedModel

SEED = 0


def fitting_prompt(
    model: PreTrainedModel, prompt: str, max_new_tokens: int
) -> tuple[torch.Tensor, int]:
    """A prompt and a number of new tokens that fit into the model's longest sequence together.

    Args:
        model: With `tokenizer` and `max_length`.
        prompt: Cut at its start where it leaves no room to go on.
        max_new_tokens: Wanted; fewer where even a prompt of one token leaves less room.

    Returns:
        (1, T) token ids on the model's device, and how many may follow.
    """
    ids = model.tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    if model.max_length is not None:
        max_new_tokens = min(max_new_tokens, model.max_length - 1)
        ids = ids[:, -(model.max_length - max_new_tokens) :]
    return ids.to(model.device), max_new_tokens


@torch.no_grad()
def sample_text(
    model: PreTrainedModel,
    prompt: str,
    max_new_tokens: int,
    *,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = SEED,
) -> str:
    """The prompt and a sampled continuation; global random states stay as they were.

    Args:
        model: A causal language model with a `tokenizer`.
        prompt: Text to go on from; its last tokens, where it leaves no room for others.
        max_new_tokens: Longest continuation, in tokens.
        temperature: Sampling temperature.
        top_p: Nucleus mass.
        seed: The same seed gives the same text.
    """
    ids, max_new_tokens = fitting_prompt(model, prompt, max_new_tokens)
    was_training = model.training
    model.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        written = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=True,
            temperature=temperature,
            top_p=top_p,
            top_k=0,
            pad_token_id=model.tokenizer.pad_token_id,
        )
    model.train(was_training)
    return model.tokenizer.decode(written[0], skip_special_tokens=True)

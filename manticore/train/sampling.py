"""Short continuations, to read what a model has learned."""

import torch
from transformers import PreTrainedModel

SEED = 0


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
        prompt: Text to go on from.
        max_new_tokens: Longest continuation, in tokens.
        temperature: Sampling temperature.
        top_p: Nucleus mass.
        seed: The same seed gives the same text.
    """
    tokenizer = model.tokenizer
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).to(model.device)
    if model.max_length is not None:
        max_new_tokens = min(max_new_tokens, model.max_length - inputs["input_ids"].shape[1])
    was_training = model.training
    model.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        ids = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=max_new_tokens,
            do_sample=True,
            temperature=temperature,
            top_p=top_p,
            top_k=0,
            pad_token_id=tokenizer.pad_token_id,
        )
    model.train(was_training)
    return tokenizer.decode(ids[0], skip_special_tokens=True)

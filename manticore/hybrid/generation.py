"""Whole samples of text from a hybrid; `hybrid.streaming` gives text as it is written.

A prompt begins as the tokenizer itself begins a text, so with BOS where the components know it from
their training; an empty prompt begins with BOS, or else with the end-of-text token.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedTokenizerBase

from manticore.data.token_ids import leading_ids

if TYPE_CHECKING:
    from manticore.hybrid.modeling import ManticoreForCausalLM

SEED = 0


def fitting_prompt(
    hybrid: "ManticoreForCausalLM", prompt: str, max_new_tokens: int
) -> tuple[torch.Tensor, int]:
    """A prompt and a number of new tokens that fit into the hybrid's longest sequence together.

    Args:
        hybrid: The hybrid, with its tokenizer.
        prompt: Text to continue; it is cut at its start where it leaves no room for new tokens.
        max_new_tokens: Number of new tokens wanted; fewer where even a prompt of one token leaves
            less room.

    Returns:
        (1, T) token ids on the hybrid's device, and how many may follow.

    Raises:
        ValueError: No new tokens are asked for, or the prompt is empty and the tokenizer has no
            token to begin with.
    """
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int):
        raise TypeError(f"max_new_tokens={max_new_tokens!r} is not a whole number.")
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} writes nothing: give 1 or more.")
    tokenizer = tokenizer_of(hybrid)
    first = leading_ids(tokenizer)
    ids = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    if ids[: len(first)] == first:  # A chat template has written it already.
        ids = ids[len(first) :]
    if not first and not ids:
        first = [_beginning(tokenizer)]
    if hybrid.max_length is not None:
        max_new_tokens = min(max_new_tokens, hybrid.max_length - 1)
        room = hybrid.max_length - max_new_tokens
        first = first[:room]
        ids = ids[max(0, len(ids) - (room - len(first))) :]
    return torch.tensor([first + ids], device=hybrid.device), max_new_tokens


@torch.no_grad()
def sample_text(
    hybrid: "ManticoreForCausalLM",
    prompt: str,
    max_new_tokens: int,
    *,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = SEED,
) -> str:
    """The prompt and a sampled continuation; global random states stay as they were.

    Args:
        hybrid: The hybrid, with its tokenizer; it is put back into the mode it was in.
        prompt: Text to continue; its last tokens, where it leaves no room for others.
        max_new_tokens: Length of the longest continuation, in tokens.
        temperature: Sampling temperature; 0 takes the likeliest token every time.
        top_p: Nucleus mass, the share of the probability that is sampled from.
        seed: Random seed; the same seed gives the same text.

    Raises:
        ValueError: A number that is out of range, or an empty prompt that nothing begins.
    """
    ids, options = sampling_request(hybrid, prompt, max_new_tokens, temperature, top_p)
    was_training = hybrid.training
    hybrid.eval()
    try:
        with seeded(hybrid.device, seed):
            written = hybrid.generate(ids, **options)
    finally:
        hybrid.train(was_training)
    return str(tokenizer_of(hybrid).decode(written[0], skip_special_tokens=True))


@contextmanager
def seeded(device: torch.device, seed: int | None) -> Iterator[None]:
    """Inside, random numbers follow a seed; afterwards, global random states are as they were.

    Args:
        device: Device that is computed on.
        seed: Random seed; another one each time if None.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if seed is None:
            torch.seed()
        else:
            torch.manual_seed(seed)
        yield


def join_texts(pieces: Iterable[str]) -> str:
    """Pieces of one running text, with a space where two would stick together."""
    text = ""
    for piece in pieces:
        joint = "" if not text or text[-1].isspace() or piece[:1].isspace() else " "
        text += joint + piece
    return text


def sampling_request(
    hybrid: "ManticoreForCausalLM",
    prompt: str,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """What `generate` is called with.

    Args:
        hybrid: The hybrid, with its tokenizer.
        prompt: Text to continue.
        max_new_tokens: Length of the longest continuation, in tokens.
        temperature: Sampling temperature; 0 takes the likeliest token every time.
        top_p: Nucleus mass, the share of the probability that is sampled from.

    Returns:
        (1, T) ids of the prompt, and the other arguments.

    Raises:
        ValueError: A number that is out of range, or an empty prompt that nothing begins.
    """
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature={temperature} is not a temperature: give 0 or more.")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p} is not a share: give more than 0 and at most 1.")
    ids, max_new_tokens = fitting_prompt(hybrid, prompt, max_new_tokens)
    sampling = {"temperature": temperature, "top_p": top_p, "top_k": 0} if temperature > 0 else {}
    return ids, {
        "attention_mask": torch.ones_like(ids),
        "max_new_tokens": max_new_tokens,
        "do_sample": temperature > 0,
        "num_beams": 1,
        "pad_token_id": tokenizer_of(hybrid).pad_token_id,
        **sampling,
    }


def tokenizer_of(hybrid: "ManticoreForCausalLM") -> PreTrainedTokenizerBase:
    """The hybrid's tokenizer.

    Raises:
        ValueError: It has none.
    """
    if hybrid.tokenizer is None:
        raise ValueError(
            "This hybrid has no tokenizer: set hybrid.tokenizer to the one of its components."
        )
    return hybrid.tokenizer


def _beginning(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that an empty prompt begins with."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if isinstance(token, int):
            return token
    raise ValueError(
        "The prompt is empty, and the tokenizer has neither a BOS nor an EOS token to begin with: "
        "give a prompt."
    )

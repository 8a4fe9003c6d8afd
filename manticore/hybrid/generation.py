"""Text from a hybrid: whole samples, and pieces as they are written with a stop that acts at once.

A prompt begins as the tokenizer itself begins a text, so with BOS where the components know it from
their training; an empty prompt begins with BOS, or else with the end-of-text token.
"""

import math
import threading
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
)

from manticore.data.token_ids import leading_ids

if TYPE_CHECKING:
    from manticore.hybrid.modeling import ManticoreForCausalLM

SEED = 0

# A model serves one caller at a time.
_one_at_a_time = threading.Lock()


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
    tokenizer = _tokenizer(hybrid)
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
    ids, options = _request(hybrid, prompt, max_new_tokens, temperature, top_p)
    was_training = hybrid.training
    hybrid.eval()
    devices = [hybrid.device] if hybrid.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            written = hybrid.generate(ids, **options)
    finally:
        hybrid.train(was_training)
    return str(_tokenizer(hybrid).decode(written[0], skip_special_tokens=True))


def continue_text(
    hybrid: "ManticoreForCausalLM",
    text: str,
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
) -> Generator[str, None, None]:
    """Sample a continuation of a text, yielding all of it that is there so far, again and again.

    Closing the iterator ends the generating thread after its current token.

    Args:
        hybrid: The hybrid, with its tokenizer.
        text: Text to continue; its last tokens, where it is longer than the hybrid can see.
        max_new_tokens: Length of the longest continuation, in tokens.
        temperature: Sampling temperature; 0 takes the likeliest token every time.
        top_p: Nucleus mass, the share of the probability that is sampled from.

    Raises:
        ValueError: A number that is out of range, or an empty text that nothing begins.
        RuntimeError: The generation failed; the cause is in the message.
    """
    ids, options = _request(hybrid, text, max_new_tokens, temperature, top_p)
    stopped = _Stop()
    streamer = TextIteratorStreamer(_tokenizer(hybrid), skip_prompt=True, skip_special_tokens=True)
    failures: list[Exception] = []

    def generate() -> None:
        try:
            with _one_at_a_time:
                hybrid.generate(
                    ids,
                    streamer=streamer,
                    stopping_criteria=StoppingCriteriaList([stopped]),
                    **options,
                )
        except Exception as error:  # Handed to the reader below, whatever it is.
            failures.append(error)
            streamer.end()

    thread = threading.Thread(target=generate, name="generate", daemon=True)
    thread.start()
    written = ""
    try:
        for piece in streamer:
            written += piece
            yield written
    finally:
        stopped.event.set()
        thread.join()
    if failures:
        raise RuntimeError(f"The text could not be continued: {failures[0]}") from failures[0]


def join_texts(pieces: Iterable[str]) -> str:
    """Pieces of one running text, with a space where two would stick together."""
    text = ""
    for piece in pieces:
        joint = "" if not text or text[-1].isspace() or piece[:1].isspace() else " "
        text += joint + piece
    return text


class _Stop(StoppingCriteria):
    """Ends a generation once its event is set."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        return input_ids.new_full((input_ids.shape[0],), self.event.is_set()).bool()


def _request(
    hybrid: "ManticoreForCausalLM",
    prompt: str,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """The ids of the prompt, (1, T), and the other arguments of `generate`."""
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
        "pad_token_id": _tokenizer(hybrid).pad_token_id,
        **sampling,
    }


def _tokenizer(hybrid: "ManticoreForCausalLM") -> PreTrainedTokenizerBase:
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

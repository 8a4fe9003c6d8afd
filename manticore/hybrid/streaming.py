"""Text from a hybrid or from one of its components, as it is written, with a stop.

`generate` runs in a thread of its own and looks after every token whether it is to stop.
"""

import threading
from collections.abc import Generator
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from manticore.hybrid.generation import sampling_request, seeded, tokenizer_of

if TYPE_CHECKING:
    from manticore.hybrid.modeling import ManticoreForCausalLM

LOOK_EVERY = 0.1
"""Seconds between looks at the stop while another caller has the model."""

# A model serves one caller at a time, and so does the random state that is seeded.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Continuation:
    """A continuation as far as it is written.

    Attributes:
        text: What has been written after the prompt.
        ids: Its token ids.
        prompt_ids: Token ids of the prompt as it was read.
        left_out: Number of tokens at the start of the prompt that there was no room for.
    """

    text: str
    ids: list[int]
    prompt_ids: list[int]
    left_out: int


def stream(
    hybrid: "ManticoreForCausalLM",
    prompt: str,
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int | None = None,
    component: int | None = None,
    stop: threading.Event | None = None,
) -> Generator[Continuation, None, None]:
    """Sample a continuation of a text, yielding all of it that is there so far, again and again.

    Closing the iterator ends the generating thread after its current token, as does the stop; after
    a stop, what has been written is yielded to its end.

    Args:
        hybrid: The hybrid, with its tokenizer.
        prompt: Text to continue; its last tokens, where it is longer than the hybrid can read.
        max_new_tokens: Length of the longest continuation, in tokens.
        temperature: Sampling temperature; 0 takes the likeliest token every time.
        top_p: Nucleus mass, the share of the probability that is sampled from.
        seed: Random seed: the same seed gives the same text; another one each time if None.
        component: Index of a component that continues the text alone; the hybrid if None.
        stop: Ends the generation when it is set.

    Raises:
        ValueError: A number that is out of range, or an empty prompt that nothing begins.
        RuntimeError: The generation failed; the cause is in the message.
    """
    ids, options = sampling_request(hybrid, prompt, max_new_tokens, temperature, top_p)
    tokenizer, model = tokenizer_of(hybrid), _writer(hybrid, component)
    prompt_ids = ids[0].tolist()
    whole = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    left_out = max(0, len(cast("list[int]", whole)) - len(prompt_ids))
    closed, tokens = threading.Event(), _Tokens()
    stops = [closed] if stop is None else [closed, stop]
    # The hybrid's own, which names its end tokens, for a component too.
    settings = deepcopy(hybrid.generation_config)
    mask = options.pop("attention_mask")
    settings.update(**options)
    failures: list[Exception] = []

    def generate() -> None:
        try:
            if _wait_for_turn(stops):
                try:
                    with seeded(hybrid.device, seed):
                        model.generate(
                            ids,
                            attention_mask=mask,
                            generation_config=settings,
                            streamer=tokens,
                            stopping_criteria=StoppingCriteriaList([_Stopped(stops)]),
                        )
                finally:
                    _one_at_a_time.release()
        except Exception as error:  # Handed to the reader below, whatever it is.
            failures.append(error)
        finally:
            tokens.end()

    thread = threading.Thread(target=generate, name="generate", daemon=True)
    thread.start()
    new: list[int] = []
    try:
        while more := tokens.next():
            new = [*new, *more]
            text = _decoded(tokenizer, prompt_ids[-1:], new)
            if not text.endswith("\ufffd"):  # A character whose last bytes are still to come.
                yield Continuation(text, new, prompt_ids, left_out)
    finally:
        closed.set()
        thread.join()
    if failures:
        raise RuntimeError(f"The text could not be continued: {failures[0]}") from failures[0]
    yield Continuation(_decoded(tokenizer, prompt_ids[-1:], new), new, prompt_ids, left_out)


def continue_text(
    hybrid: "ManticoreForCausalLM",
    text: str,
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int | None = None,
) -> Generator[str, None, None]:
    """`stream`, as texts: all that has been written so far, again and again.

    Args:
        hybrid: The hybrid, with its tokenizer.
        text: Text to continue; its last tokens, where it is longer than the hybrid can read.
        max_new_tokens: Length of the longest continuation, in tokens.
        temperature: Sampling temperature; 0 takes the likeliest token every time.
        top_p: Nucleus mass, the share of the probability that is sampled from.
        seed: Random seed: the same seed gives the same text; another one each time if None.

    Raises:
        ValueError: A number that is out of range, or an empty text that nothing begins.
        RuntimeError: The generation failed; the cause is in the message.
    """
    sampling: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "seed": seed}
    with closing(stream(hybrid, text, max_new_tokens=max_new_tokens, **sampling)) as pieces:
        for piece in pieces:
            yield piece.text


class _Tokens(BaseStreamer):
    """Hands token ids from the generating thread to a reader."""

    def __init__(self) -> None:
        self._ids: SimpleQueue[int | None] = SimpleQueue()
        self._is_prompt = True

    def put(self, value: torch.Tensor) -> None:
        """Take new ids from `generate`; the first that come are the prompt's, and are left out.

        Args:
            value: Token ids of any shape.
        """
        if self._is_prompt:
            self._is_prompt = False
            return
        for token in value.flatten().tolist():
            self._ids.put(token)

    def end(self) -> None:
        """Tell the reader that nothing more comes."""
        self._ids.put(None)

    def next(self) -> list[int]:
        """All ids that are there, at least one; none once all have been read."""
        found = [self._ids.get()]
        while found[-1] is not None:
            try:
                found.append(self._ids.get_nowait())
            except Empty:
                break
        ids = [token for token in found if token is not None]
        if ids and found[-1] is None:
            self._ids.put(None)  # For the next call.
        return ids


class _Stopped(StoppingCriteria):
    """Ends a generation once one of its events is set."""

    def __init__(self, stops: list[threading.Event]) -> None:
        self.stops = stops

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        stopped = any(stop.is_set() for stop in self.stops)
        return input_ids.new_full((input_ids.shape[0],), stopped).bool()


def _wait_for_turn(stops: list[threading.Event]) -> bool:
    """Take the lock on generation; False if one of the events was set before it was free."""
    while not any(stop.is_set() for stop in stops):
        if _one_at_a_time.acquire(timeout=LOOK_EVERY):
            return True
    return False


def _writer(hybrid: "ManticoreForCausalLM", component: int | None) -> Any:
    """The model that writes: the hybrid, or one of its components alone."""
    if component is None:
        return hybrid
    if not 0 <= component < len(hybrid.components):
        raise ValueError(
            f"component={component} is not one of the hybrid's {len(hybrid.components)} "
            f"components: give 0 to {len(hybrid.components) - 1}."
        )
    return hybrid.components[component]


def _decoded(tokenizer: PreTrainedTokenizerBase, before: list[int], new: list[int]) -> str:
    """The text of new ids; with the token before, as some decoders leave out a leading space."""
    start = str(tokenizer.decode(before, skip_special_tokens=True))
    whole = str(tokenizer.decode([*before, *new], skip_special_tokens=True))
    return whole[len(start) :]

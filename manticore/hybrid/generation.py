"""Text from a hybrid, piece by piece, with a stop that reaches into the generating thread."""

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

# A model serves one caller at a time.
_one_at_a_time = threading.Lock()


def continue_text(
    hybrid: "ManticoreForCausalLM",
    text: str,
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
) -> Iterator[str]:
    """Sample a continuation of `text`, yielding all of it that there is so far, again and again.

    Closing the iterator ends the generating thread after the token it is at.

    Args:
        hybrid: with its tokenizer.
        text: what to go on from; its last tokens, where it is longer than the hybrid can see.
        max_new_tokens: at most so many tokens.
        temperature: 0 takes the likeliest token every time.
        top_p: nucleus mass.

    Raises:
        RuntimeError: the generation failed; the cause is in the message.
    """
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

    from manticore.hybrid.sampling import fitting_prompt

    stopped = threading.Event()

    class WhenStopped(StoppingCriteria):
        def __call__(self, input_ids: Any, _scores: Any, **_: Any) -> Any:
            return input_ids.new_full((input_ids.shape[0],), stopped.is_set()).bool()

    ids, max_new_tokens = fitting_prompt(hybrid, text, max_new_tokens)
    sampling = {"temperature": temperature, "top_p": top_p, "top_k": 0} if temperature > 0 else {}
    streamer = TextIteratorStreamer(hybrid.tokenizer, skip_prompt=True, skip_special_tokens=True)
    failures: list[Exception] = []

    def generate() -> None:
        try:
            with _one_at_a_time:
                hybrid.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=max_new_tokens,
                    do_sample=temperature > 0,
                    pad_token_id=hybrid.tokenizer.pad_token_id,
                    streamer=streamer,
                    stopping_criteria=StoppingCriteriaList([WhenStopped()]),
                    **sampling,
                )
        except Exception as error:  # handed to the reader below, whatever it is
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
        stopped.set()
        thread.join()
    if failures:
        raise RuntimeError(f"the text could not be continued: {failures[0]}") from failures[0]


def join_texts(pieces: Iterable[str]) -> str:
    """Pieces of one running text, with a space where two would stick together."""
    text = ""
    for piece in pieces:
        joint = "" if not text or text[-1].isspace() or piece[:1].isspace() else " "
        text += joint + piece
    return text

"""A conversation as one prompt: by the tokenizer's chat template, or as one running text."""

from collections.abc import Mapping, Sequence

from transformers import PreTrainedTokenizerBase

from manticore.hybrid.generation import join_texts


def conversation_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]]
) -> str:
    """The text that a hybrid continues to answer a conversation.

    Args:
        tokenizer: The hybrid's tokenizer. Its chat template lays the messages out, up to where an
            answer begins; without one, they are one running text.
        messages: Messages with their `role` (`user` or `assistant`) and their text, `content`.
    """
    if not tokenizer.chat_template:
        return join_texts(message["content"] for message in messages)
    plain = [dict(message) for message in messages]
    return str(tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True))

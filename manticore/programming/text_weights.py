"""The weight of each MAD task in a text, counted without any training."""

import torch

from manticore.names import TASKS


def text_weights(ids: torch.Tensor, vocabulary: int) -> dict[str, float]:
    """How much a text rewards what each MAD task trains, from 0 to 1.

    A task for which nothing to count is known (`Task.weight_in_text`) has no weight in any text,
    and is left out.

    Args:
        ids: Tokens of the text (n, T), in windows as the model sees them.
        vocabulary: Size V of the tokenizer's vocabulary.
    """
    counts = {name: TASKS.load(name).weight_in_text for name in TASKS}
    tokens = ids.cpu().numpy()
    return {name: count(tokens, vocabulary) for name, count in counts.items() if count is not None}

"""Perplexity on held-out text."""

import math

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel

LONGEST_EXPONENT = 700.0


@torch.no_grad()
def mean_loss(
    model: PreTrainedModel,
    dataset: Dataset,
    *,
    batch_size: int = 8,
    max_batches: int | None = None,
) -> float:
    """Mean cross entropy per predicted token, in nats.

    Args:
        model: Any causal language model; it is put back into the mode it was in.
        dataset: Items with `input_ids` (T,) and `labels` (T,), where -100 is left out.
        batch_size: Sequences per batch.
        max_batches: Only the first so many batches; all of them if None.

    Raises:
        ValueError: The dataset gives no token to predict, or a limit below 1.
    """
    if max_batches is not None and max_batches < 1:
        raise ValueError(f"max_batches={max_batches} measures nothing: give 1 or more, or None.")
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    try:
        for index, batch in enumerate(DataLoader(dataset, batch_size=batch_size)):
            if max_batches is not None and index >= max_batches:
                break
            labels = batch["labels"].to(model.device)
            logits = model(input_ids=batch["input_ids"].to(model.device), use_cache=False).logits
            targets = labels[:, 1:].flatten()  # (B * (T - 1),)
            losses = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), targets, ignore_index=-100, reduction="sum"
            )
            total += losses.item()
            count += int((targets != -100).sum())
    finally:
        model.train(was_training)
    if count == 0:
        raise ValueError(
            "There is no held-out token to predict: give more text, or a smaller seq_len."
        )
    return total / count


def measure_text(
    model: PreTrainedModel,
    dataset: Dataset,
    *,
    batch_size: int = 8,
    max_batches: int | None = None,
) -> dict[str, float]:
    """What is measured on text, by name: `perplexity`; arguments and errors as in `mean_loss`."""
    found = perplexity(model, dataset, batch_size=batch_size, max_batches=max_batches)
    return {"perplexity": found}


def perplexity(
    model: PreTrainedModel,
    dataset: Dataset,
    *,
    batch_size: int = 8,
    max_batches: int | None = None,
) -> float:
    """The exponential of the mean loss per token; arguments and errors as in `mean_loss`."""
    loss = mean_loss(model, dataset, batch_size=batch_size, max_batches=max_batches)
    return math.exp(min(loss, LONGEST_EXPONENT))

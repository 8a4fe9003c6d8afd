"""Accuracy: how many of a task's targets a model gets right, and how many come by chance."""

import math
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel

from manticore.evaluate.losses import LONGEST_EXPONENT
from manticore.tasks.data import TaskData, count_correct, more_tests
from manticore.tasks.drawing import IGNORED

CHANCE_FROM = 4096
"""Examples from which the most frequent targets are taken."""


@torch.no_grad()
def measure(
    model: PreTrainedModel,
    examples: Dataset,
    *,
    batch_size: int = 128,
    max_batches: int | None = None,
) -> dict[str, Any]:
    """Accuracy on a task's targets, and their perplexity.

    Args:
        model: A causal language model whose vocabulary is the task's, a hybrid that reconstructs,
            or a classifier; it is put back into the mode it was in.
        examples: Examples to test on.
        batch_size: Examples per batch.
        max_batches: Only the first so many batches; all of them if None.

    Returns:
        `accuracy` from 0 to 1, and `perplexity`.
    """
    was_training = model.training
    model.eval()
    loss, correct, scored = 0.0, 0, 0
    try:
        for index, batch in enumerate(DataLoader(examples, batch_size=batch_size)):
            if max_batches is not None and index >= max_batches:
                break
            targets = batch.pop("labels").to(model.device)
            given = {name: tensor.to(model.device) for name, tensor in batch.items()}
            logits = model(**given, use_cache=False).logits.float()
            if targets.ndim > 1:  # a target for each token
                logits, targets = logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten()
            loss += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
            right, of = count_correct(logits, targets)
            correct, scored = correct + right, scored + of
    finally:
        model.train(was_training)
    return {
        "accuracy": correct / scored,
        "perplexity": math.exp(min(loss / scored, LONGEST_EXPONENT)),
    }


def chance_accuracy(data: TaskData) -> float:
    """Accuracy that needs nothing of what the task trains.

    Where sequences are classified, that of the label that is most frequent in training. Otherwise
    the better one of two ways to guess.

    One ignores the inputs: at each position it gives the most frequent target there, and where
    there is none, the most frequent target of all. The other only counts: it gives the one of all
    possible targets that occurred most often so far. An example of recall has few values, so that
    counting is right much more often than one in the number of values, and a model counts long
    before it recalls.

    Targets are taken from other examples of the test distribution: training may score more.
    """
    if data.train.labels.ndim == 1:
        return float((data.test.labels == data.train.labels.mode().values).double().mean())
    known = more_tests(data, CHANCE_FROM).labels
    return max(_right_by_place(known, data), _right_by_counting(known, data))


def _right_by_place(known: torch.Tensor, data: TaskData) -> float:
    """Accuracy of one answer for each position, as `known` labels (n, T) have it."""
    tested = data.test.labels
    counts = torch.zeros(known.shape[1], data.setting.vocabulary)
    scored = known != IGNORED
    places = torch.arange(known.shape[1]).expand_as(known)[scored]
    counts.index_put_((places, known[scored]), torch.ones(len(places)), accumulate=True)
    answers = counts.argmax(dim=1)
    answers[counts.sum(dim=1) == 0] = counts.sum(dim=0).argmax()
    scored = tested != IGNORED
    return float((answers.expand_as(tested) == tested)[scored].double().mean())


def _right_by_counting(known: torch.Tensor, data: TaskData) -> float:
    """Accuracy of the most frequent token so far, of those that are targets in `known` (n, T)."""
    ids, tested = data.test.input_ids, data.test.labels
    answers = known[known != IGNORED].unique()
    column = torch.full((data.setting.vocabulary,), len(answers))  # the last takes all others
    column[answers] = torch.arange(len(answers))
    counts = torch.zeros(len(ids), len(answers) + 1)
    came = column[ids]
    if data.head == "reconstruction":
        counts.scatter_add_(1, came, torch.ones(came.shape))
    right = scored = 0
    for place in range(1, tested.shape[1]):
        if data.head != "reconstruction":
            counts.scatter_add_(1, came[:, place - 1, None], torch.ones(len(ids), 1))
        wanted = tested[:, place]
        here = wanted != IGNORED
        right += int((answers[counts[here, :-1].argmax(dim=1)] == wanted[here]).sum())
        scored += int(here.sum())
    return right / scored

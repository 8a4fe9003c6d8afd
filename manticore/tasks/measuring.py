"""How well a model does a task: the share of asked targets that it gets right."""

import math
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from manticore.evaluate.losses import LONGEST_EXPONENT
from manticore.tasks.data import Examples, TaskData, count_correct, more_tests
from manticore.tasks.generators import IGNORED

GUESSED_FROM = 4096
"""Examples that tell what is asked for most often."""


@torch.no_grad()
def measure(
    model: PreTrainedModel,
    examples: Examples,
    *,
    batch_size: int = 128,
    max_batches: int | None = None,
) -> dict[str, Any]:
    """Accuracy on the asked targets, and the perplexity of them.

    Args:
        model: A causal language model whose vocabulary is the task's, or a hybrid that
            reconstructs; it is put back into the mode it was in.
        examples: For testing.
        batch_size: Examples at once.
        max_batches: Only the first so many batches; all of them if None.

    Returns:
        `accuracy` from 0 to 1, and `perplexity`.
    """
    was_training = model.training
    model.eval()
    loss, correct, asked = 0.0, 0, 0
    for index, batch in enumerate(DataLoader(examples, batch_size=batch_size)):
        if max_batches is not None and index >= max_batches:
            break
        logits = model(batch["input_ids"].to(model.device), use_cache=False).logits[:, :-1].float()
        targets = batch["labels"][:, 1:].to(model.device)
        loss += torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="sum"
        ).item()
        right, of = count_correct(logits, targets)
        correct, asked = correct + right, asked + of
    model.train(was_training)
    return {
        "accuracy": correct / asked,
        "perplexity": math.exp(min(loss / asked, LONGEST_EXPONENT)),
    }


def guessing_accuracy(data: TaskData) -> float:
    """Accuracy of the best answers that need no skill: of two ways, the better one.

    One does not look at the inputs: at each place it says what is asked for most often there, and
    where nothing is, what is asked for most often at all. The other only counts: it says which of
    the tokens that are ever asked for came most often so far. An example of recall has few values,
    so that counting is right much more often than chance, and a model counts long before it
    recalls.

    What is asked for is taken from examples that are like those for testing, but others: training
    may ask for more.
    """
    known = more_tests(data, GUESSED_FROM).labels
    return max(_right_by_place(known, data), _right_by_counting(known, data))


def _right_by_place(known: torch.Tensor, data: TaskData) -> float:
    """Accuracy of one answer for each place, as `known` labels (n, T) have it."""
    tested = data.test.labels
    counts = torch.zeros(known.shape[1], data.setting.vocabulary)
    asked = known != IGNORED
    places = torch.arange(known.shape[1]).expand_as(known)[asked]
    counts.index_put_((places, known[asked]), torch.ones(len(places)), accumulate=True)
    answers = counts.argmax(dim=1)
    answers[counts.sum(dim=1) == 0] = counts.sum(dim=0).argmax()
    asked = tested != IGNORED
    return float((answers.expand_as(tested) == tested)[asked].double().mean())


def _right_by_counting(known: torch.Tensor, data: TaskData) -> float:
    """Accuracy of the token that came most often, of those that `known` labels (n, T) ask for."""
    ids, tested = data.test.input_ids, data.test.labels
    answers = known[known != IGNORED].unique()
    column = torch.full((data.setting.vocabulary,), len(answers))  # the last takes all others
    column[answers] = torch.arange(len(answers))
    counts = torch.zeros(len(ids), len(answers) + 1)
    came = column[ids]
    if data.head == "reconstruction":
        counts.scatter_add_(1, came, torch.ones(came.shape))
    right = asked = 0
    for place in range(1, tested.shape[1]):
        if data.head != "reconstruction":
            counts.scatter_add_(1, came[:, place - 1, None], torch.ones(len(ids), 1))
        wanted = tested[:, place]
        here = wanted != IGNORED
        right += int((answers[counts[here, :-1].argmax(dim=1)] == wanted[here]).sum())
        asked += int(here.sum())
    return right / asked

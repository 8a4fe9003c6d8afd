"""How well a model does a task: the share of asked targets that it gets right."""

import math
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from manticore.evaluate.losses import LONGEST_EXPONENT
from manticore.mad.data import Examples, TaskData, count_correct, more_tests
from manticore.mad.tasks import IGNORED

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
    """Accuracy of the best answers that do not look at the inputs.

    That is at each place what is asked for most often there, and where nothing is, most often at
    all, in examples that are like those for testing, but others: training may ask for more.
    """
    known, tested = more_tests(data, GUESSED_FROM).labels, data.test.labels
    counts = torch.zeros(known.shape[1], data.setting.vocabulary)
    asked = known != IGNORED
    places = torch.arange(known.shape[1]).expand_as(known)[asked]
    counts.index_put_((places, known[asked]), torch.ones(len(places)), accumulate=True)
    answers = counts.argmax(dim=1)
    answers[counts.sum(dim=1) == 0] = counts.sum(dim=0).argmax()
    asked = tested != IGNORED
    return float((answers.expand_as(tested) == tested)[asked].double().mean())

"""Mean loss and perplexity against sums by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from manticore import perplexity
from manticore.evaluate import mean_loss
from tests.tiny import VOCAB_SIZE


@pytest.fixture
def model(component: Callable[..., str]) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(component("gpt_neox")).eval()


def _items(n: int = 5, length: int = 9) -> list[dict[str, torch.Tensor]]:
    """Sequences of which unlike numbers of tokens count."""
    generator = torch.Generator().manual_seed(5)
    items = []
    for i in range(n):
        ids = torch.randint(2, VOCAB_SIZE, (length,), generator=generator)
        labels = ids.clone()
        labels[: i + 1] = -100
        items.append({"input_ids": ids, "labels": labels})
    return items


@torch.no_grad()
def _by_hand(model: PreTrainedModel, items: list[dict[str, torch.Tensor]]) -> float:
    losses = []
    for item in items:
        probabilities = model(item["input_ids"][None]).logits[0].softmax(-1)
        losses += [
            -math.log(probabilities[t - 1, token])
            for t, token in enumerate(item["labels"].tolist())
            if t > 0 and token != -100
        ]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_every_predicted_token_weighs_the_same(model: PreTrainedModel, batch_size: int) -> None:
    items = _items()
    wanted = _by_hand(model, items)
    assert mean_loss(model, items, batch_size=batch_size) == pytest.approx(wanted, rel=1e-4)
    found = perplexity(model, items, batch_size=batch_size)
    assert found == pytest.approx(math.exp(wanted), rel=1e-4)


def test_only_the_first_batches(model: PreTrainedModel) -> None:
    items = _items()
    found = mean_loss(model, items, batch_size=2, max_batches=2)
    assert found == pytest.approx(_by_hand(model, items[:4]), rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_put_back(model: PreTrainedModel, training: bool) -> None:
    model.train(training)
    mean_loss(model, _items(1))
    assert model.training is training
    bad = [{"input_ids": torch.tensor([VOCAB_SIZE + 1]), "labels": torch.tensor([1])}]
    with pytest.raises(IndexError):
        mean_loss(model, bad)
    assert model.training is training


def test_dropout_is_off_while_measuring(component: Callable[..., str]) -> None:
    model = AutoModelForCausalLM.from_pretrained(component("gpt2"), resid_pdrop=0.5).train()
    items = _items()
    assert mean_loss(model, items) == mean_loss(model, items)


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"input_ids": torch.tensor([3, 4]), "labels": torch.tensor([3, -100])}],
    ],
)
def test_nothing_to_predict_is_an_error(model: PreTrainedModel, items: list) -> None:
    with pytest.raises(ValueError, match="no held-out token"):
        perplexity(model, items)


def test_a_perplexity_beyond_all_numbers_is_still_a_number(model: PreTrainedModel) -> None:
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(1e6)
    assert math.isfinite(perplexity(model, _items()))


@pytest.mark.parametrize("limits", [{"max_batches": 0}, {"max_batches": -1}, {"batch_size": 0}])
def test_limits_that_measure_nothing(model: PreTrainedModel, limits: dict) -> None:
    with pytest.raises(ValueError, match=r"max_batches|batch_size"):
        mean_loss(model, _items(), **limits)

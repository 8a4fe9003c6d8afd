"""The planted benchmark: its optimum is one, and `probe` finds what descent gives up."""

import pytest
import torch

from benchmarks import planted
from benchmarks.planted import damaged, plant, reorder_features
from manticore.components.loading import Component, load_component
from manticore.data import TextData, load_text
from manticore.evaluate import mean_loss


@pytest.fixture(scope="module")
def component() -> Component:
    return load_component(planted.COMPONENT)


@pytest.fixture(scope="module")
def data(component: Component) -> TextData:
    return load_text("bundled:stories-en?n_stories=60", tokenizer=component.tokenizer, seq_len=32)


def loss(model: torch.nn.Module, data: TextData) -> float:
    return mean_loss(model, data.valid, batch_size=8, max_batches=2)


def test_reordered_features_compute_the_same(component: Component, data: TextData) -> None:
    copy = damaged(component, [], noise=1.0, seed=0)
    ids = torch.stack([data.valid[i]["input_ids"] for i in range(2)])
    before = copy.model.get_input_embeddings().weight.clone()
    reorder_features(copy, seed=3)
    assert not torch.equal(before, copy.model.get_input_embeddings().weight)
    expected = component.model(ids, use_cache=False).logits
    torch.testing.assert_close(copy.model(ids, use_cache=False).logits, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("setting", planted.NOISE)
def test_the_planted_weights_are_best(setting: str, component: Component, data: TextData) -> None:
    hybrid, best = plant(component, setting, seed=1)
    hybrid.eval()
    hybrid.set_mixture_weights(best)
    found = loss(hybrid, data)
    assert found == pytest.approx(loss(component.model, data), abs=1e-4)
    n_blocks, K = best.shape
    others = [torch.full((K,), 1 / K)]
    for block in (0, n_blocks - 1):
        for k in range(K):
            if not best[block, k]:
                moved = best.clone()
                moved[block] = torch.nn.functional.one_hot(torch.tensor(k), K)
                others.append(moved)
    for alpha in others:
        hybrid.set_mixture_weights(alpha)
        assert loss(hybrid, data) > found + 0.001


def test_probe_finds_the_minority_that_darts_gives_up(
    component: Component, data: TextData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted, "EVAL_BATCHES", 2)
    monkeypatch.setattr(planted, "BUDGET", 36)
    regret = {}
    for name, rate in (("darts", 0.3), ("probe", None)):
        outcome = planted._search(component, data, "minority", name, rate, seed=1)
        regret[name] = outcome.regret
        assert outcome.right == (name == "probe")
    assert regret["probe"] == pytest.approx(0, abs=1e-5)
    assert regret["darts"] > 0.1

"""The benchmarks of what the paper leaves open: what they compare starts equal, and costs alike."""

from collections.abc import Callable

import pytest
import torch

from benchmarks import combining, projector_tokens, retraining, transfer
from manticore import build_hybrid
from manticore.hybrid import configuration
from manticore.hybrid.mixture import simplex_grid
from manticore.names import STRATEGIES


@torch.no_grad()
@pytest.mark.parametrize("kind", combining.KINDS)
def test_every_combination_starts_as_the_hybrid_at_even_weights(
    kind: str, component: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The flat gate, but closed to the last bit.
    monkeypatch.setitem(configuration.GATE_POWERS, "flat", 1000)
    monkeypatch.setattr(combining, "N_BLOCKS", 2)
    sources = (component("gpt_neox"), component("mamba", width=24))
    usual = build_hybrid(list(sources), 2, gate="flat").eval()
    made = combining._built(sources, combining.KINDS[kind], 0).eval()
    ids = torch.arange(2, 14).view(2, 6)
    torch.testing.assert_close(made(ids).logits, usual(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", combining.KINDS)
def test_a_combination_stays_what_it_is_called(kind: str) -> None:
    torch.manual_seed(0)
    combination = combining.KINDS[kind].made((3, 2, 5 if "channel" in kind else 1))
    combination.row.data.add_(torch.randn_like(combination.row))
    weights = combination.weights()
    sums_to_one = torch.allclose(weights.sum(dim=1), torch.ones(()))
    assert sums_to_one == ("simplex" in kind or kind == "affine")
    assert bool((weights < 0).any()) == ("simplex" not in kind)
    assert combination().shape == (3, 2)


@pytest.mark.parametrize("name", retraining.RATES)
def test_every_search_has_the_same_budget(name: str) -> None:
    options = retraining._options(name, None, 1e-3, 4, 2)
    steps, every = options.steps, options.probe_every
    spent = {
        "darts-bilevel": retraining.BILEVEL_STEP * steps,
        "probe": 3 * steps + (1 + 2 + 4 * 2) * steps / every,
        "random": 3 * steps + options.candidates * options.probe_batches,
        "sweep": 3 * steps + len(simplex_grid(2, options.grid)) * options.probe_batches,
    }.get(name, 3 * steps)
    assert spent == pytest.approx(retraining.BUDGET, abs=3)


def test_every_strategy_is_asked() -> None:
    without_a_text = {"fixed", "routed"}
    assert set(retraining.RATES) == set(STRATEGIES) - without_a_text


def test_a_guide_is_worth_what_follows_from_it() -> None:
    gains = {"a": 0.3, "b": -0.1, "c": 0.2}
    measured = [
        {"pair": "p", "text": text, "seed": seed, "gain": gain, "trust": gain - 0.25}
        for text, gain in gains.items()
        for seed in transfer.SEEDS
    ]
    followed = transfer._row("trust", measured)
    assert followed["rank_correlation"] == 1
    assert followed["right"] == pytest.approx(2 / 3)  # c: a gain that it does not see
    assert followed["gain"] == pytest.approx(0.3 / 3, abs=1e-4)
    assert transfer._row("always programmed", measured)["gain"] == pytest.approx(0.4 / 3, abs=1e-4)
    assert transfer._row("always even", measured)["gain"] == 0


def test_what_is_left_of_an_improvement() -> None:
    by_seed = [{"losses": [5.0, 4.0, 2.0, 1.0], "error_into": 0.5}] * 3
    row = projector_tokens._row("linear", ("a", "b"), by_seed)
    assert [value for name, value in row.items() if name.startswith("left")] == [0.75, 0.25]

"""The parts of search by themselves: options, parameterizations, the optimizer, held-out text."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import IterableDataset

from manticore.hybrid.mixture import simplex_grid
from manticore.search import SearchConfig
from manticore.search.held_out import MOST_SEQUENCES, hold_out
from manticore.search.optimizers import ExponentiatedGradient
from manticore.search.parameterizations import (
    GivenMixture,
    GumbelMixture,
    SimplexMixture,
    SoftmaxMixture,
)

ROWS = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]


class _Stream(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return iter({"input_ids": torch.tensor([index])} for index in range(self.count))


def numbers(dataset):
    return [int(item["input_ids"]) for item in dataset]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"strategy": "darts", "temperature": (1.0, 0.5)}, "does not use temperature"),
        (
            {"strategy": "fixed", "mixture_lr": 0.1},
            "choose one of darts, darts-bilevel, gaea, dash",
        ),
        ({"strategy": "sweep", "entropy": 0.1}, "does not use entropy"),
        ({"strategy": "genetic"}, "darts"),
        ({"strategy": "sweep", "mixture_lr": 0.03}, "does not use mixture_lr"),
        ({"grid": 1, "strategy": "sweep"}, "grid"),
        ({"teid": True}, "Unknown option 'teid'. Did you mean 'tied'"),
        ({"batch_size": 7, "accumulate": 2}, "accumulate that divides batch_size"),
        ({"prune_below": 0.1, "steps": 12}, "Nothing can be pruned in 12 steps"),
        ({"prune_below": 0.1, "steps": 50, "prune_after": 45}, "smaller prune_after"),
        ({"prune_after": 50}, "prune_after has no effect without prune_below"),
        ({"strategy": "probe", "prune_steps": 5}, "prune_steps has no effect without"),
    ],
)
def test_options_that_would_be_ignored_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        SearchConfig(**options)


def test_defaults_that_depend_on_the_strategy():
    assert SearchConfig(strategy="gaea").mixture_lr == 0.1
    assert SearchConfig(strategy="gaea", mixture_lr=2.0).mixture_lr == 2.0
    assert SearchConfig().mixture_lr == 0.02
    # What is measured once, and chosen by, is measured on more than what is measured every round.
    assert SearchConfig(strategy="sweep").probe_batches == 8
    assert SearchConfig(strategy="random").probe_batches == 8
    assert SearchConfig(strategy="sweep", probe_batches=1).probe_batches == 1
    assert SearchConfig(strategy="probe").probe_batches == 1
    for config in (SearchConfig(), SearchConfig(strategy="gaea"), SearchConfig(strategy="sweep")):
        assert SearchConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("kind", [SoftmaxMixture, SimplexMixture, GumbelMixture, GivenMixture])
def test_a_parameterization_starts_where_it_is_told(kind):
    mixture = kind(torch.tensor(ROWS))
    torch.testing.assert_close(mixture.expected(), torch.tensor(ROWS), rtol=0, atol=2e-3)
    tied = kind(torch.tensor(ROWS), tied=True)
    mean = torch.tensor([[0.4, 0.15, 0.45]]).expand(2, 3)
    torch.testing.assert_close(tied.expected(), mean, rtol=0, atol=2e-3)


@pytest.mark.parametrize("tied", [False, True])
def test_pruning_keeps_the_greatest_and_divides_the_rest(tied):
    mixture = SoftmaxMixture(torch.tensor([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]), tied)
    assert mixture.live() is None
    assert mixture.prune(0.15) == (1 if tied else 2)
    assert mixture.live() == [[True, True, False]] * 2
    torch.testing.assert_close(mixture()[0], torch.tensor([7 / 9, 2 / 9, 0]), rtol=0, atol=2e-3)
    mixture.prune(0.99)
    assert mixture.live() == [[True, False, False]] * 2
    assert mixture()[1].tolist() == [1, 0, 0]
    again = SoftmaxMixture(torch.tensor(ROWS), tied)
    again.load_state_dict(mixture.state_dict())
    assert again.live() == mixture.live()


def test_pruning_is_of_what_stays_under_the_threshold():
    mixture = SoftmaxMixture(torch.tensor([[0.7, 0.3]]))
    high, low = mixture.row.detach().clone(), torch.tensor([[4.0, 0.0]])
    for row, taken in ((low, 0), (low, 0), (high, 0), (low, 0), (low, 0), (low, 1)):
        mixture.row.data.copy_(row)
        assert mixture.prune(0.1, looks=3) == taken
    again = SoftmaxMixture(torch.tensor([[0.7, 0.3]]))
    again.row.data.copy_(low)
    again.prune(0.1, looks=3)
    resumed = SoftmaxMixture(torch.tensor([[0.7, 0.3]]))
    resumed.load_state_dict(again.state_dict())
    assert resumed.prune(0.1, looks=2) == 1
    earlier = {name: value for name, value in again.state_dict().items() if name != "under"}
    resumed.load_state_dict(earlier)
    assert resumed.prune(0.1, looks=2) == 0


def test_gumbel_draws_follow_the_logits_and_the_step_alone():
    mixture = GumbelMixture(torch.tensor([[0.7, 0.2, 0.1]])).train()
    counts = torch.zeros(3)
    for step in range(2000):
        mixture.draw(seed=5, step=step, temperature=0.01)
        counts[mixture()[0].argmax()] += 1
    # The winner of noisy logits is distributed as their softmax.
    torch.testing.assert_close(counts / 2000, torch.tensor([0.7, 0.2, 0.1]), rtol=0, atol=0.04)
    mixture.draw(seed=5, step=3, temperature=0.5)
    first = mixture()
    mixture.draw(seed=5, step=4, temperature=0.5)
    assert not torch.equal(mixture(), first)
    mixture.draw(seed=5, step=3, temperature=0.5)
    assert torch.equal(mixture(), first)
    assert torch.equal(mixture.eval()(), mixture.expected())


def test_exponentiated_gradient_is_a_factor_per_weight():
    row = nn.Parameter(torch.tensor([[0.5, 0.3, 0.2]]))
    row.grad = torch.tensor([[1.0, 0.0, -1.0]])
    ExponentiatedGradient([row], lr=0.5).step()
    factors = torch.tensor([0.5 * math.exp(-0.5), 0.3, 0.2 * math.exp(0.5)])
    torch.testing.assert_close(row[0].detach(), factors / factors.sum())


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3),
    st.floats(1e-3, 1e3),
    st.integers(1, 5),
)
def test_exponentiated_gradient_never_leaves_the_simplex(gradient, lr, steps):
    row = nn.Parameter(torch.tensor([[0.5, 0.3, 0.2]]))
    optimizer = ExponentiatedGradient([row], lr=lr)
    for _ in range(steps):
        row.grad = torch.tensor([gradient])
        optimizer.step()
    assert (row > 0).all()
    assert abs(float(row.detach().sum()) - 1) < 1e-6


@given(st.integers(1, 4), st.integers(2, 7))
def test_the_grid_holds_every_point_once(n_components, points):
    grid = simplex_grid(n_components, points)
    assert len(grid) == math.comb(points - 1 + n_components - 1, n_components - 1)
    assert len(grid.unique(dim=0)) == len(grid)
    torch.testing.assert_close(grid.sum(dim=1), torch.ones(len(grid)))
    assert (grid.max(dim=1).values == 1).sum() == n_components


@pytest.mark.parametrize("kind", [list, lambda stream: stream], ids=["map", "short stream"])
@pytest.mark.parametrize("count", [40, 41])
def test_held_out_text_is_kept_from_the_rest(count, kind):
    rows = kind(_Stream(count))
    rest, held_out = hold_out(rows, 0.25, seed=3, at_least=4)
    kept = numbers(held_out.sequences)
    assert len(kept) == 10
    assert sorted(numbers(rest) + kept) == list(range(count))
    batches = [held_out.batch(n, 4, "cpu")["input_ids"].flatten().tolist() for n in range(4)]
    assert all(set(batch) <= set(kept) for batch in batches)
    # Two batches are an epoch of ten: the same sequence does not come twice within it.
    assert len(set(batches[0] + batches[1])) == 8
    assert batches[0] == held_out.batch(0, 4, "cpu")["input_ids"].flatten().tolist()


def test_a_stream_gives_its_first_sequences():
    rest, held_out = hold_out(_Stream(MOST_SEQUENCES + 5), 0.1, seed=0, at_least=2)
    assert numbers(held_out.sequences) == list(range(MOST_SEQUENCES))
    assert numbers(rest) == list(range(MOST_SEQUENCES, MOST_SEQUENCES + 5))


@pytest.mark.parametrize("rows", [list(_Stream(7)), _Stream(7)])
def test_a_text_too_short_to_be_split_is_refused(rows):
    with pytest.raises(ValueError, match="too few to hold out 4"):
        hold_out(rows, 0.5, seed=0, at_least=4)

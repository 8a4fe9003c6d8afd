"""Combining mixture weights: on the simplex, by skill, and as a function of length."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from manticore.programming.combining import above_chance, best_task, fit_lengths, weighted_mean


def rows(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(2 * torch.randn(*shape, generator=generator), dim=-1)


@given(st.integers(0, 999), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_means_stay_on_the_simplex_and_between_the_tasks(seed: int, skills: list[float]) -> None:
    alphas = list(rows(seed, len(skills), 3, 2))
    mean = weighted_mean(alphas, skills)
    torch.testing.assert_close(mean.sum(dim=1), torch.ones(3, dtype=torch.float64))
    stacked = torch.stack(alphas).double()
    assert (mean >= stacked.amin(dim=0) - 1e-6).all()
    assert (mean <= stacked.amax(dim=0) + 1e-6).all()


def test_a_skill_counts_as_often_as_it_weighs() -> None:
    first, second = rows(1, 2, 4, 3)
    torch.testing.assert_close(
        weighted_mean([first, second], [1, 2]), weighted_mean([first, second, second], [1, 1, 1])
    )


def test_the_best_task_is_the_one_done_best_among_those_wanted() -> None:
    learned = {"a": 0.9, "b": 0.8}
    assert best_task(learned, {"a": 1.0, "b": 1.0}) == "a"
    assert best_task(learned, {"a": 1.0, "b": 2.0}) == "b"


def test_what_was_learned_is_beyond_guessing() -> None:
    assert above_chance(0.2, 0.2) == 0
    assert above_chance(1.0, 0.2) == 1
    assert above_chance(0.75, 0.5) == 0.5
    assert above_chance(1.0, 1.0) == 0


@given(st.integers(0, 999), st.lists(st.integers(2, 4096), min_size=2, max_size=5, unique=True))
def test_a_function_of_length_is_recovered(seed: int, lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    slopes = 0.4 * torch.rand(3, 2, generator=generator, dtype=torch.float64) - 0.2
    at = {n: torch.softmax(slopes * torch.tensor(n).log2(), dim=1) for n in [*lengths, 777]}
    fit = fit_lengths(lengths, [at[n] for n in lengths])
    for length in [*lengths, 777]:
        torch.testing.assert_close(fit.at(length), at[length], rtol=1e-4, atol=1e-4)


def test_what_has_no_weight_at_any_length_gets_none() -> None:
    alphas = [torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])]
    found = fit_lengths([16, 64], alphas).at(32)
    assert found[0].tolist() == [1, 0]
    assert 0 < found[1, 0] < 0.5


def test_corners_give_a_function_without_infinities() -> None:
    corner = torch.tensor([[1.0, 0.0]])
    fit = fit_lengths([16, 64], [corner, 1 - corner])
    between = fit.at(32)
    torch.testing.assert_close(between, torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    assert torch.isfinite(fit.at(4096)).all()

"""What a text asks of a model, and whether tasks agree."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manticore.mad.trust import rank_correlation, text_skills, trust

V = 50


def skills(ids: list[list[int]]) -> dict[str, float]:
    return text_skills(torch.tensor(ids), V)


def test_a_map_of_each_window_is_recall_and_not_memory() -> None:
    """Each row has a map of its own, which it goes through again and again."""
    generator = torch.Generator().manual_seed(0)
    cycles = torch.stack([torch.randperm(V, generator=generator)[:8] for _ in range(400)])
    found = text_skills(cycles.repeat(1, 4), V)
    assert found["in-context-recall"] == pytest.approx(23 / 31)
    assert found["fuzzy-in-context-recall"] == pytest.approx(22 / 30)
    assert found["memorization"] < 0.15
    assert found["compression"] < 0.01


def test_one_map_for_all_is_memory() -> None:
    chain = [[(start + step * 7) % V for step in range(20)] for start in range(V)]
    found = skills(chain)
    assert found["memorization"] == pytest.approx(1, abs=1e-6)
    assert found["in-context-recall"] == 0
    assert found["selective-copying"] == 0


def test_what_is_far_away_is_counted_apart() -> None:
    near = skills([[1, 2, 3, 4, 5, 1, 2]])
    far = skills([[1, 2, 3, 4, 5, 6, 7, 8, 1, 2]])
    assert near["noisy-in-context-recall"] == pytest.approx(1 / 6)
    assert far["noisy-in-context-recall"] == pytest.approx(1 / 9)
    close = skills([[3, 4, 5, 1, 2, 1, 2]])
    assert close["in-context-recall"] == pytest.approx(1 / 6)
    assert close["noisy-in-context-recall"] == 0


def test_seldom_tokens_that_come_again_are_copies() -> None:
    assert skills([[1, 2] * 8])["selective-copying"] == 0
    found = skills([[0, 7, 0, 9, 0, 7, 0, 9, 1, 1, 1, 1, 1, 1, 1, 1]])
    assert found["selective-copying"] == pytest.approx(2 / 16)


def test_two_symbols_need_little_of_a_large_vocabulary() -> None:
    assert skills([[1, 2] * 40])["compression"] == pytest.approx(0.823, abs=0.01)


@given(st.integers(0, 999), st.integers(2, 6), st.integers(2, 40))
def test_skills_are_shares(seed: int, n: int, length: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    found = text_skills(torch.randint(V, (n, length + 1), generator=generator), V)
    assert all(-1e-6 <= value <= 1 + 1e-6 for value in found.values())


def test_ranks_with_ties() -> None:
    assert rank_correlation(
        torch.tensor([1.0, 2, 3]), torch.tensor([10.0, 20, 90])
    ) == pytest.approx(1)
    assert rank_correlation(torch.tensor([1.0, 2, 3]), torch.tensor([3.0, 2, 1])) == pytest.approx(
        -1
    )
    assert rank_correlation(torch.tensor([1.0, 1, 1]), torch.tensor([3.0, 2, 1])) == 0
    tied = rank_correlation(torch.tensor([1.0, 1, 2, 3]), torch.tensor([1.0, 2, 3, 4]))
    assert tied == pytest.approx(0.9486833)


def test_trust_is_the_agreement_of_those_that_matter() -> None:
    up = torch.tensor([[0.9, 0.1], [0.6, 0.4]])
    down = up.flip(0)
    alphas = {"a": up, "b": up, "c": down}
    assert trust(alphas, {"a": 1, "b": 1, "c": 0}) == pytest.approx(1)
    apart = rank_correlation(up, down)
    assert trust(alphas, {"a": 1, "b": 0, "c": 1}) == pytest.approx(apart)
    assert trust(alphas, {"a": 1, "b": 1, "c": 1}) == pytest.approx((1 + 2 * apart) / 3)
    assert trust(alphas, {"a": 2, "b": 2, "c": 1}) > trust(alphas, {"a": 1, "b": 1, "c": 1})
    with pytest.raises(ValueError, match="two tasks"):
        trust(alphas, {"a": 1, "b": 0, "c": 0})

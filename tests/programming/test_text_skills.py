"""What a text asks of a model, by counting, and beyond what comes by chance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manticore.programming.text_skills import counted_skills, text_skills

V = 50


def skills(ids: list[list[int]]) -> dict[str, float]:
    return counted_skills(torch.tensor(ids), V)


def test_a_map_of_each_window_is_recall_and_not_memory() -> None:
    """Each row has a map of its own, which it goes through again and again."""
    generator = torch.Generator().manual_seed(0)
    cycles = torch.stack([torch.randperm(V, generator=generator)[:8] for _ in range(400)])
    found = counted_skills(cycles.repeat(1, 4), V)
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
    ids = torch.randint(V, (n, length + 1), generator=generator)
    for found in (counted_skills(ids, V), text_skills(ids, V)):
        assert all(-1e-6 <= value <= 1 + 1e-6 for value in found.values())


def test_what_comes_by_chance_is_no_skill() -> None:
    """Few tokens without any order have pairs that look like knowledge, and recur by accident."""
    ids = torch.randint(V, (40, 64), generator=torch.Generator().manual_seed(0))
    assert counted_skills(ids, V)["memorization"] > 0.1
    assert all(value < 0.02 for value in text_skills(ids, V).values())


def test_what_is_there_stays_beyond_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    cycles = torch.stack([torch.randperm(V, generator=generator)[:8] for _ in range(400)])
    ids = cycles.repeat(1, 4)
    found, counted = text_skills(ids, V), counted_skills(ids, V)
    for task in ("in-context-recall", "fuzzy-in-context-recall", "noisy-in-context-recall"):
        assert found[task] == pytest.approx(counted[task], abs=0.03)
    assert found["compression"] == counted["compression"]

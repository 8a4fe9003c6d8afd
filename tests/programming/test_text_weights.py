"""The weight of tasks in a text: counted, and beyond what comes by chance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manticore.names import TASKS
from manticore.programming.text_weights import text_weights
from manticore.tasks.compression import compressible
from manticore.tasks.fuzzy_in_context_recall import recalled_by_two
from manticore.tasks.in_context_recall import recalled
from manticore.tasks.memorization import memorable
from manticore.tasks.noisy_in_context_recall import recalled_from_afar
from manticore.tasks.selective_copying import copied

V = 50
COUNTS = {
    "in-context-recall": recalled,
    "fuzzy-in-context-recall": recalled_by_two,
    "noisy-in-context-recall": recalled_from_afar,
    "selective-copying": copied,
    "compression": compressible,
    "memorization": memorable,
}


def counted(ids: list[list[int]] | torch.Tensor) -> dict[str, float]:
    """The shares before those that come by chance are subtracted."""
    return {task: count(torch.as_tensor(ids).numpy(), V) for task, count in COUNTS.items()}


def cycles() -> torch.Tensor:
    """Each row has its own map, through which it goes again and again."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.stack([torch.randperm(V, generator=generator)[:8] for _ in range(400)])
    return rows.repeat(1, 4)


def test_a_map_of_each_window_is_recall_and_not_memory() -> None:
    found = counted(cycles())
    assert found["in-context-recall"] == pytest.approx(23 / 31)
    assert found["fuzzy-in-context-recall"] == pytest.approx(22 / 30)
    assert found["memorization"] < 0.15
    assert found["compression"] < 0.01


def test_one_map_for_all_is_memory() -> None:
    chain = [[(start + step * 7) % V for step in range(20)] for start in range(V)]
    found = counted(chain)
    assert found["memorization"] == pytest.approx(1, abs=1e-6)
    assert found["in-context-recall"] == 0
    assert found["selective-copying"] == 0


def test_what_is_far_away_is_counted_apart() -> None:
    near = counted([[1, 2, 3, 4, 5, 1, 2]])
    far = counted([[1, 2, 3, 4, 5, 6, 7, 8, 1, 2]])
    assert near["noisy-in-context-recall"] == pytest.approx(1 / 6)
    assert far["noisy-in-context-recall"] == pytest.approx(1 / 9)
    close = counted([[3, 4, 5, 1, 2, 1, 2]])
    assert close["in-context-recall"] == pytest.approx(1 / 6)
    assert close["noisy-in-context-recall"] == 0


def test_rare_tokens_that_come_again_are_copies() -> None:
    assert counted([[1, 2] * 8])["selective-copying"] == 0
    found = counted([[0, 7, 0, 9, 0, 7, 0, 9, 1, 1, 1, 1, 1, 1, 1, 1]])
    assert found["selective-copying"] == pytest.approx(2 / 16)


def test_two_symbols_need_little_of_a_large_vocabulary() -> None:
    assert counted([[1, 2] * 40])["compression"] == pytest.approx(0.823, abs=0.01)


@given(st.integers(0, 999), st.integers(2, 6), st.integers(2, 40))
def test_weights_are_shares(seed: int, n: int, length: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(V, (n, length + 1), generator=generator)
    for found in (counted(ids), text_weights(ids, V)):
        assert found.keys() == TASKS.keys()
        assert all(-1e-6 <= value <= 1 + 1e-6 for value in found.values())


def test_what_comes_by_chance_has_no_weight() -> None:
    """Few tokens without any order have pairs that look like knowledge, and recur by accident."""
    ids = torch.randint(V, (40, 64), generator=torch.Generator().manual_seed(0))
    assert counted(ids)["memorization"] > 0.1
    assert all(value < 0.02 for value in text_weights(ids, V).values())


def test_what_is_not_chance_stays() -> None:
    found, before = text_weights(cycles(), V), counted(cycles())
    for task in ("in-context-recall", "fuzzy-in-context-recall", "noisy-in-context-recall"):
        assert found[task] == pytest.approx(before[task], abs=0.03)
    assert found["compression"] == before["compression"]

"""Whether tasks agree about the mixture weights, and with what a text asks for."""

from statistics import fmean

import pytest
import torch

from manticore.programming.trust import (
    agreement,
    by_chance,
    mixture_for_text,
    rank_correlation,
    task_agreement,
    trust_on,
)

UP = torch.tensor([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2]])
DOWN = UP.flip(0)


def test_ranks_with_ties() -> None:
    ascending = torch.tensor([1.0, 2, 3])
    assert rank_correlation(ascending, torch.tensor([10.0, 20, 90])) == pytest.approx(1)
    assert rank_correlation(ascending, ascending.flip(0)) == pytest.approx(-1)
    assert rank_correlation(torch.ones(3), ascending) == 0
    tied = rank_correlation(torch.tensor([1.0, 1, 2, 3]), torch.tensor([1.0, 2, 3, 4]))
    assert tied == pytest.approx(0.9486833)


def test_agreement_is_about_blocks() -> None:
    assert agreement(UP, UP) == pytest.approx(1)
    assert agreement(UP, UP * 0.5 + torch.tensor([0.0, 0.5])) == pytest.approx(1)
    # Both prefer the first component everywhere, and want the reverse order of blocks.
    assert agreement(UP, DOWN) == pytest.approx(-1)


@pytest.mark.parametrize("rows", [[[0.5, 0.5]] * 3, [[0.3, 0.7]] * 3, [[0.9, 0.1]]])
def test_rows_alike_have_no_order(rows: list[list[float]]) -> None:
    alpha = torch.softmax(torch.tensor(rows).log(), dim=1)
    assert agreement(alpha, UP[: len(rows)]) == 0


@pytest.mark.parametrize("n_components", [2, 3])
def test_what_is_random_agrees_by_chance(n_components: int) -> None:
    """A preference for one component that all have in common is none about the blocks."""
    generator = torch.Generator().manual_seed(0)
    tables = torch.rand(2000, 4, n_components, generator=generator)
    tables[..., 0] += 5
    tables = tables / tables.sum(dim=2, keepdim=True)
    pairs = tables.view(1000, 2, 4, n_components)
    assert fmean(agreement(*pair) for pair in pairs) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("rest", [[0.1, 0.9], [0.2, 0.4, 0.4], [0.05, 0.3, 0.65]])
def test_one_block_unlike_the_others_agrees_by_chance(rest: list[float]) -> None:
    first = torch.tensor([rest[::-1]] + [rest] * 11)
    assert agreement(first, first) == pytest.approx(1)
    elsewhere = [first.roll(places, dims=0) for places in range(12)]
    assert fmean(agreement(first, other) for other in elsewhere) == pytest.approx(0, abs=1e-9)
    assert agreement(first, elsewhere[1]) < 0


def test_how_often_chance_agrees_as_well() -> None:
    assert by_chance(UP, UP) == pytest.approx(1 / 6)
    assert by_chance(UP, DOWN) == 1
    # Rows alike in every order: no agreement, and every order has as much.
    assert by_chance(torch.full((3, 2), 0.5), UP) == 1
    many = torch.arange(1.0, 10)
    assert by_chance(many, many, rank_correlation) < 0.001
    assert by_chance(many, many.roll(4), rank_correlation) > 0.5


def test_tasks_agree_as_much_as_their_skills_weigh() -> None:
    alphas = {"a": UP, "b": UP, "c": DOWN}
    assert task_agreement(alphas, {"a": 1, "b": 1, "c": 1}) == pytest.approx(-1 / 3)
    assert task_agreement(alphas, {"a": 2, "b": 2, "c": 1}) == pytest.approx(0)


def test_tasks_without_an_order_of_blocks_do_not_agree_or_disagree() -> None:
    alike = torch.full((3, 2), 0.5)
    assert task_agreement({"a": alike, "b": alike}, {"a": 1, "b": 1}) is None
    assert task_agreement({"a": alike, "b": UP}, {"a": 1, "b": 1}) == 0


def _text(*lengths: int) -> list[dict[str, torch.Tensor]]:
    ids = torch.arange(8).remainder(3)
    return [
        {
            "input_ids": torch.where(torch.arange(8) < length, ids, 7),
            "labels": torch.where(torch.arange(8) < length, ids, -100),
        }
        for length in lengths
    ]


def _tasks(*alphas: torch.Tensor) -> dict[str, dict]:
    names = ("in-context-recall", "memorization")
    return {
        name: {"setting": {"task": name}, "mixture_weights": alpha.tolist()}
        for name, alpha in zip(names, alphas, strict=True)
    }


def test_padding_is_no_text() -> None:
    tasks = _tasks(UP, DOWN)
    assert trust_on(tasks, UP.tolist(), _text(8, 3), 8) == trust_on(tasks, UP.tolist(), _text(8), 8)
    with pytest.raises(ValueError, match="does not fill one sequence"):
        trust_on(tasks, UP.tolist(), _text(3), 8)


def test_blocks_alike_are_neither_trusted_nor_distrusted() -> None:
    with pytest.raises(ValueError, match="All blocks have the same"):
        trust_on(_tasks(UP, DOWN), [[0.5, 0.5]] * 3, _text(8), 8)


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [((0, 0.3, 0), UP), ((0, 0, 0.3), DOWN), ((0.2, 0, 0.1), UP), ((0.1, 0, 0.3), DOWN)],
)
def test_the_task_that_weighs_most_in_a_text_decides(weights, wanted) -> None:
    alphas = {"a": UP, "b": UP, "c": DOWN}
    found = mixture_for_text(alphas, dict(zip("abc", weights, strict=True)))
    assert agreement(found, wanted) == pytest.approx(1)
    assert agreement(found, wanted.flip(0)) == pytest.approx(-1)


def test_what_was_made_as_asked_is_trusted_wholly() -> None:
    generator = torch.Generator().manual_seed(0)
    alphas = {name: torch.rand(4, 3, generator=generator).softmax(dim=1) for name in "abc"}
    asked = {"a": 0.5, "b": 0.1, "c": 0.4}
    made = sum(asked[name] * alpha for name, alpha in alphas.items())
    assert agreement(mixture_for_text(alphas, asked), made) == pytest.approx(1)
    others = agreement(mixture_for_text(alphas, {"a": 0.0, "b": 1.0, "c": 0.0}), made)
    assert others < 1


def test_without_an_order_of_blocks_there_is_nothing_to_trust() -> None:
    alphas = {"a": torch.tensor([[0.9, 0.1]]), "b": torch.tensor([[0.1, 0.9]])}
    assert agreement(mixture_for_text(alphas, {"a": 1.0, "b": 0.0}), alphas["a"]) == 0


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="two tasks or more"):
        mixture_for_text({"a": UP}, {"a": 1.0})
    with pytest.raises(ValueError, match="None of a, b has a weight"):
        mixture_for_text({"a": UP, "b": UP}, {"a": 0.0, "b": 0.0})

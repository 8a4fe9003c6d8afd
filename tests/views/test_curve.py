"""The curve of a sweep, in the place of the bars of other searches."""

import math

import pytest

from manticore.views.plots import outcome_figure


def evaluation(candidates: list, losses: list) -> dict:
    metrics = {"perplexity": 2.0, "components": {"zoo:a": 4.0, "zoo:b": 5.0}, "floor": None}
    found = {"candidates": candidates, "held_out_losses": losses}
    return {"kind": "eval", "step": 9, "metrics": metrics | found}


def test_points_are_in_order_and_the_best_is_marked() -> None:
    points = [[[1.0, 0.0]], [[0.5, 0.5]], [[0.0, 1.0]]]
    losses = [math.log(4), math.log(2), math.log(3)]
    curve, best = outcome_figure([evaluation(points, losses)], "search").data
    assert list(curve.x) == [0.0, 0.5, 1.0]
    assert list(curve.y) == pytest.approx([3, 2, 4])
    assert (best.x[0], best.y[0]) == (0.5, pytest.approx(2))
    assert "2.00</b> at 0.50" in best.text[0]


def test_far_points_leave_the_others_to_be_told_apart() -> None:
    points = [[[1.0, 0.0]], [[0.5, 0.5]], [[0.0, 1.0]]]
    figure = outcome_figure([evaluation(points, [9.0, 1.0, None])], "search")
    assert figure.layout.yaxis.type == "log"
    assert len(figure.data[0].x) == 2


@pytest.mark.parametrize(
    "candidates",
    [[[[0.5, 0.25, 0.25]]], [[[0.5, 0.5], [0.25, 0.75]]], []],
    ids=["three components", "rows of their own", "none"],
)
def test_what_is_no_line_has_bars(candidates: list) -> None:
    losses = [1.0] * len(candidates)
    assert outcome_figure([evaluation(candidates, losses)], "search").data[0].type == "bar"

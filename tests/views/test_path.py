"""The way of the mixture weights through the triangle of three components."""

import numpy as np

from manticore.views.plots import path_figure
from manticore.views.plots.path import CORNERS

NAMES = ["zoo:a", "zoo:b", "zoo:c"]


def _mixture(step: int, weights: list[list[float]], **more: object) -> dict:
    return {"kind": "mixture", "step": step, "weights": weights, "components": NAMES, **more}


def test_each_block_goes_from_the_start_to_where_it_is_now() -> None:
    start = [[1 / 3] * 3] * 2
    figure = path_figure([_mixture(0, start), _mixture(1, [[1, 0, 0], [0, 0.5, 0.5]])])
    first, second = figure.data[-2:]
    center = CORNERS.mean(axis=0)
    for trace, end in ((first, CORNERS[0]), (second, CORNERS[1:].mean(axis=0))):
        points = np.stack([trace.x, trace.y], axis=1)
        np.testing.assert_allclose(points, [center, end], atol=1e-4)
    assert list(first.text) == ["", "1"]
    assert list(second.text) == ["", "2"]
    assert first.customdata[1][1] == "100% a, 0% b, 0% c"


def test_of_a_programming_run_the_last_task_is_drawn() -> None:
    rows = ([[1, 0, 0]], [[0, 1, 0]])
    events = [_mixture(1, row, task=task) for row, task in zip(rows, ("x", "y"), strict=True)]
    trace = path_figure(events).data[-1]
    assert (trace.x[0], trace.y[0]) == tuple(CORNERS[1])


def test_it_is_small_for_any_number_of_steps() -> None:
    events = [_mixture(step, [[0.2, 0.3, 0.5]] * 12) for step in range(3000)]
    assert sum(len(trace.x) for trace in path_figure(events).data) < 1100


def test_there_is_none_for_two_components_or_before_the_start() -> None:
    two = {**_mixture(0, [[0.5, 0.5]]), "components": NAMES[:2]}
    assert path_figure([two]) is None
    assert path_figure([]) is None

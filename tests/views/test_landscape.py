"""The landscape of a hybrid: which points are measured, and what is drawn of them."""

from collections.abc import Callable

import pytest
import torch

from manticore import build_hybrid
from manticore.evaluate.by_hand import perplexity_at
from manticore.evaluate.landscape import EDGE, landscape_points, measure_landscape
from manticore.views.landscape import landscape_scene


@pytest.mark.parametrize(("n_components", "count"), [(2, 11), (3, 28)])
def test_corners_come_first_and_no_point_twice(n_components: int, count: int) -> None:
    points = landscape_points(2, n_components)
    assert [point.block for point in points] == [None] * count + [0] * count + [1] * count
    rows = [point.row for point in points[:count]]
    assert len(set(rows)) == count
    assert all(sum(row) == pytest.approx(1) and min(row) >= 0 for row in rows)
    assert all(max(row) == 1 for row in rows[:n_components])
    assert len(landscape_points(1, n_components)) == count, "one block alone is all blocks"


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="4 components"):
        landscape_points(2, 4)


def test_each_point_is_the_perplexity_there(
    component: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EDGE, 2, 3)
    parts = [component("gpt_neox"), component("mamba", width=24)]
    hybrid = build_hybrid(parts, 2, projector_init="identity").eval()
    torch.manual_seed(0)
    ids = torch.randint(0, hybrid.config.vocab_size, (2, 10))
    base = [[0.25, 0.75], [0.75, 0.25]]
    points = list(measure_landscape(hybrid, ids, base))
    assert len(points) == 9
    found = {(point.block, point.row): point.perplexity for point in points}
    assert found[None, (1.0, 0.0)] == perplexity_at(hybrid, ids, [[1, 0]] * 2)
    assert found[1, (0.5, 0.5)] == perplexity_at(hybrid, ids, [base[0], [0.5, 0.5]])
    scene = landscape_scene(parts, 2, points[:4], total=9, as_found=12.0, scene_id="run")
    assert (scene["measured"], scene["total"], scene["id"]) == (4, 9, "run")
    assert [chart["block"] for chart in scene["charts"]] == [None, 0, 1]
    assert [len(chart["points"]) for chart in scene["charts"]] == [3, 1, 0]
    assert scene["charts"][1]["points"][0]["row"] == list(points[3].row)

"""Runs next to each other: their perplexities, and what differs between them."""

from typing import Any

from manticore.runs import RunConfig
from manticore.views.differences import differences, differences_html
from manticore.views.plots.comparing import comparison_figure


def measured(*perplexities: float | None) -> list[dict]:
    return [
        {"kind": "eval", "step": 10 * i, "metrics": {"perplexity": value}}
        for i, value in enumerate(perplexities)
    ] + [{"kind": "step", "step": 30, "loss": 1.0}]


def test_each_run_is_a_line_over_its_steps() -> None:
    again = [{"kind": "eval", "step": 20, "metrics": {"perplexity": 2.5}}]
    figure = comparison_figure([("one", measured(9, 4, 3) + again), ("two", measured(8, None, 2))])
    data: Any = figure.data
    first, second = data
    assert (list(first.x), list(first.y)) == ([0, 10, 20], [9, 4, 2.5])
    assert (list(second.x), list(second.y)) == ([0, 20], [8, 2])
    assert first.line.color != second.line.color
    layout: Any = figure.layout
    assert layout.yaxis.type == "linear"
    wide: Any = comparison_figure([("a", measured(500, 2))]).layout
    assert wide.yaxis.type == "log"


def test_without_a_measurement_there_is_a_sentence() -> None:
    for runs in ([], [("one", measured(None))]):
        figure = comparison_figure(runs)
        assert not figure.data
        layout: Any = figure.layout
        assert "Choose two" in layout.annotations[0].text


def config(**changes: object) -> RunConfig:
    described = {"components": ("zoo:a", "zoo:b"), "n_blocks": 2, "data": {"source": "text.txt"}}
    return RunConfig.model_validate(described | changes)


def test_only_what_differs_is_listed() -> None:
    one = config(options={"steps": 10, "strategy": "gaea"}, seed=1)
    two = config(options={"steps": 10}, name="mine", components=("zoo:a", "zoo:<c>"))
    found = differences([one, two])
    assert found["strategy"] == ["gaea", "darts"]
    assert found["components"] == ["zoo:a, zoo:b", "zoo:a, zoo:<c>"]
    assert found["seed"] == ["1", "0"]
    assert found["mixture_lr"] == ["0.1", "0.02"]
    assert not found.keys() & {"steps", "name", "n_blocks"}
    assert differences([one, one]) == {}
    table = differences_html(["one", "<b>"], found)
    assert "zoo:&lt;c&gt;" in table
    assert "<b>" not in table

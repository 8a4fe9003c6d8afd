"""Runs next to each other: their perplexities, and what differs between them."""

from pathlib import Path
from typing import Any

import pytest

import manticore as mc
from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
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
    probed = differences([one, config(options={"steps": 10, "strategy": "probe"})])
    assert probed["mixture_lr"] == ["0.1", ""], "a probe has no learning rate of mixture weights"
    assert probed["probe_every"] == ["", "10"]
    table = differences_html(["one", "<b>"], found)
    assert "zoo:&lt;c&gt;" in table
    assert "<b>" not in table


def _searched(root: Path, steps: int, perplexity: float) -> Run:
    config = RunConfig(
        components=["zoo:a", "zoo:<b>"], n_blocks=2, data={"source": "x"}, options={"steps": steps}
    )
    folder = make_run_folder(config, root=root)
    with EventWriter(folder) as events:
        events.emit("eval", step=steps, metrics={"perplexity": perplexity})
    return Run(folder)


def test_runs_are_compared_in_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [_searched(tmp_path, 10, 9.0), _searched(tmp_path, 20, 8.0)]
    found = mc.compare(runs)
    assert found.rows == {"held-out perplexity": ["9.00", "8.00"], "steps": ["10", "20"]}
    assert len(found.figure.data) == 2
    assert "&lt;b&gt;" in found.to_html()
    assert "steps: 10 | 20" in str(found)
    found._ipython_display_()
    assert "HTML object" in capsys.readouterr().out
    with pytest.raises(ValueError, match="Two to 6 runs can be compared, and not 1"):
        mc.compare(runs[:1])

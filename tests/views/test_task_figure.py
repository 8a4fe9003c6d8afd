"""The figures of a programming run: each task apart, under its name, and what they come to."""

import numpy as np
import pytest

from manticore.views.plots import (
    loss_figure,
    mixture_figure,
    outcome_figure,
    task_accuracies,
    task_figure,
)
from manticore.views.plots.mixture import MAX_PANELS
from manticore.views.wording import short_task
from tests.tiny_runs import PROGRAMMED, programming_events


def test_each_task_is_a_stack_of_its_own_from_the_hybrids_mixture():
    figure = mixture_figure(programming_events())
    of_first = [trace for trace in figure.data if trace.name == "a" and trace.xaxis == "x"]
    for trace, steps in zip(of_first, [range(6), range(5, 11), [10, 11.2]], strict=True):
        np.testing.assert_allclose(trace.x, steps)
    assert [trace.y[0] for trace in of_first] == [0.5, 0.5, 0.75]
    assert [trace.y[-1] for trace in of_first] == [0.75, 0.75, 0.75]
    assert len({trace.stackgroup for trace in of_first}) == 3
    assert [trace.name for trace in figure.data if trace.showlegend] == ["a", "b"]


@pytest.mark.parametrize("n_blocks", [2, MAX_PANELS + 1])
def test_tasks_are_named_where_they_are_and_divided_where_they_begin(n_blocks):
    figure = mixture_figure(programming_events(n_blocks))
    assert list(figure.layout.xaxis.ticktext) == ["recall", "memorization", "combined"]
    assert list(figure.layout.xaxis.tickvals)[:2] == [2.5, 7.5]
    dividers = [shape for shape in figure.layout.shapes if shape.xref == "x"]
    assert [shape.x0 for shape in dividers] == [5, 10]


def test_no_cell_of_a_heatmap_reaches_into_another_task():
    first, second, combined = mixture_figure(programming_events(MAX_PANELS + 1)).data
    assert (first.x[0], first.x[-1]) == (0, 5)
    assert (second.x[0], second.x[-1]) == (5, 10)
    assert combined.x[0] == 10
    assert len(first.x) == np.shape(first.z)[1] + 1


def test_loss_has_a_gap_between_tasks_and_is_smoothed_within_each():
    events = [
        {"kind": "step", "step": s, "loss": 1.0 + (s > 60), "task": PROGRAMMED[s > 60]}
        for s in range(1, 121)
    ]
    raw, trend = loss_figure(events).data
    (gap,) = np.flatnonzero(np.isnan(trend.y))
    assert trend.x[gap - 1] == 60
    assert trend.x[gap + 1] == 61
    assert set(trend.y[:gap]) == {1.0}
    assert set(trend.y[gap + 1 :]) == {2.0}
    assert np.isnan(raw.y[gap])


def test_a_bar_per_task_shows_the_last_accuracy_and_a_tick_the_first():
    bars, before = task_figure(programming_events(), "r").data
    assert list(bars.y) == ["recall", "memorization"]
    assert list(bars.x) == [0.5, 0.75]
    assert list(bars.text) == ["50%", "75%"]
    assert list(before.x) == [0.125, 0.125]
    assert not task_figure([]).data


def test_a_programming_run_shows_accuracy_and_others_perplexity():
    events = list(programming_events())
    assert list(outcome_figure(events, "program").data[0].x) == [0.5, 0.75]
    assert "Accuracy" in outcome_figure([], "program").layout.annotations[0].text
    metrics = {"perplexity": 4.0, "components": {"a": 5.0}, "floor": None}
    searched = [{"kind": "eval", "step": 3, "metrics": metrics}]
    assert list(outcome_figure(searched, "search").data[0].x) == [4.0, 5.0]
    assert "Perplexity" in outcome_figure([], "search").layout.annotations[0].text


def test_a_resumed_task_counts_its_last_measurement():
    repeated = [
        *programming_events(),
        {"kind": "eval", "step": 5, "task": PROGRAMMED[0], "metrics": {"accuracy": 0.9}},
    ]
    assert task_accuracies(repeated) == {"recall": [0.125, 0.9], "memorization": [0.125, 0.75]}


@pytest.mark.parametrize(
    ("task", "short"),
    [
        ("noisy-in-context-recall", "noisy recall"),
        ("selective-copying-64", "copying 64"),
        ("compression", "compression"),
    ],
)
def test_tasks_have_short_names(task, short):
    assert short_task(task) == short

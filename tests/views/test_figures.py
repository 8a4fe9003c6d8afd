"""The figures: what they show, how much they hold, and that the odd cases draw."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.views.plots import loss_figure, mixture_figure, mixture_heatmap, perplexity_figure
from manticore.views.plots.loss import smooth
from manticore.views.plots.theme import COMPONENT_COLOURS, MAX_POINTS, short_names, thin

NAMES = ["zoo:tales-neox", "zoo:tales-mamba", "hub/some-llama", "/models/novelas/"]


def mixtures(n_steps, n_blocks, K, seed=0):
    alpha = np.random.default_rng(seed).dirichlet(np.ones(K), size=(n_steps, n_blocks))
    return [
        {"kind": "mixture", "step": 2 * i, "weights": rows.tolist(), "components": NAMES[:K]}
        for i, rows in enumerate(alpha)
    ]


def steps(losses):
    return [{"kind": "step", "step": i, "loss": loss} for i, loss in enumerate(losses)]


def points(figure):
    return sum(np.size(trace.z if trace.type == "heatmap" else trace.y) for trace in figure.data)


@settings(max_examples=25)
@given(K=st.integers(1, 4), n_blocks=st.integers(1, 48), n_steps=st.sampled_from([1, 2, 700]))
def test_mixture_figure_draws_every_shape_within_its_size(K, n_blocks, n_steps):
    figure = mixture_figure(mixtures(n_steps, n_blocks, K), run_id="r1")
    assert figure.layout.uirevision == "r1"
    assert {trace.type for trace in figure.data} <= {"scatter", "heatmap"}
    areas = [trace for trace in figure.data if trace.type == "scatter"]
    assert points(figure) <= MAX_POINTS if areas else points(figure) <= MAX_POINTS * K
    # One moment is given a width.
    assert max(trace.x[-1] for trace in figure.data) == max(1, 2 * (n_steps - 1))
    figure.to_json()


def test_mixture_panels_stack_to_one_and_keep_a_colour_per_component():
    events = mixtures(5, 4, 3)
    figure = mixture_figure(events)
    assert len(figure.data) == 4 * 3
    for block in range(4):
        panel = [trace for trace in figure.data if trace.stackgroup == str(block)]
        assert [trace.line.color for trace in panel] == list(COMPONENT_COLOURS[:3])
        np.testing.assert_allclose(sum(np.array(trace.y) for trace in panel), 1, atol=2e-4)
        last = np.array([trace.y[-1] for trace in panel])
        np.testing.assert_allclose(last, events[-1]["weights"][block], atol=1e-4)
    legend = [trace.name for trace in figure.data if trace.showlegend]
    assert legend == ["tales-neox", "tales-mamba", "some-llama"]


def test_mixture_panel_titles_tell_the_leading_component():
    event = {"kind": "mixture", "step": 1, "weights": [[0.2, 0.8]], "components": NAMES[:2]}
    title = mixture_figure([event]).layout.annotations[0].text
    assert "Block 1" in title
    assert "tales-mamba 80%" in title
    several = {**event, "weights": [[0.2, 0.8]] * 4}
    title = mixture_figure([several]).layout.annotations[0].text
    assert COMPONENT_COLOURS[1] in title
    assert "80%" in title
    assert "tales-mamba" not in title, "four names side by side overlap on a phone"


def test_repeated_steps_after_a_resume_are_drawn_once():
    events = mixtures(4, 1, 2)
    again = {**events[2], "weights": [[0.25, 0.75]]}
    figure = mixture_figure([*events[:3], again, events[3]])
    assert list(figure.data[0].x) == [0, 2, 4, 6]
    assert figure.data[0].y[2] == 0.25


def test_the_loss_of_one_step_is_seen():
    assert loss_figure(steps([2.0])).data[1].mode == "markers"
    assert loss_figure(steps([2.0, 1.5])).data[1].mode == "lines"


def test_before_the_first_event_a_friendly_text_stands_there():
    for figure in (mixture_figure([], "r"), loss_figure([], run_id="r")):
        assert not figure.data
        assert "appear" in figure.layout.annotations[0].text
        assert figure.layout.uirevision == "r"


def test_mixture_shapes_that_change_are_an_error():
    with pytest.raises(ValueError, match="shapes"):
        mixture_figure([*mixtures(1, 2, 2), {**mixtures(2, 3, 2)[1]}])


def test_heatmap_has_a_row_per_component_and_a_column_per_block():
    alpha = torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    figure = mixture_heatmap(alpha, NAMES[:2])
    np.testing.assert_allclose([trace.z[0] for trace in figure.data], alpha.T)
    assert list(figure.data[0].x) == [1, 2, 3]
    assert list(figure.layout.yaxis.ticktext) == ["tales-neox", "tales-mamba"]
    assert [note.text for note in figure.layout.annotations][:2] == ["0.25", "0.75"]


def test_heatmap_of_the_wrong_shape_names_it():
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(blocks, 3\)"):
        mixture_heatmap(np.ones((3, 2)) / 2, NAMES[:3])


def test_loss_figure_leaves_gaps_out_and_shows_the_floor():
    figure = loss_figure(steps([3.0, None, 2.0, 1.5]), floor=1.2)
    raw, trend, floor = figure.data
    assert list(raw.x) == [0, 2, 3]
    assert len(trend.y) == 3
    assert list(floor.y) == [1.2, 1.2]
    assert "1.20" in floor.name


def test_a_run_whose_loss_was_never_finite_has_no_curve():
    assert not loss_figure(steps([None, None])).data


def test_long_losses_are_thinned():
    figure = loss_figure(steps(list(np.linspace(5, 1, 20_000))))
    assert points(figure) <= MAX_POINTS
    assert figure.data[0].x[-1] == 19_999


@given(count=st.integers(0, 5000), at_most=st.integers(2, 300))
def test_thin_keeps_the_ends(count, at_most):
    kept = thin(count, at_most)
    assert len(kept) <= max(at_most, 2)
    assert list(kept) == sorted(set(kept))
    if count:
        assert kept[0] == 0
        assert kept[-1] == count - 1


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.integers(0, 30))
def test_smooth_keeps_length_and_range(values, half):
    values = np.array(values)
    smoothed = smooth(values, 2 * half + 1)
    assert smoothed.shape == values.shape
    assert smoothed.min() >= values.min() - 1e-6
    assert smoothed.max() <= values.max() + 1e-6
    np.testing.assert_allclose(smooth(values, 1), values)


def test_twins_get_different_names():
    assert short_names(["zoo:a", "hub/a", "b"]) == ["a (1)", "a (2)", "b"]


def test_perplexity_bars_show_the_hybrid_first():
    metrics = {"perplexity": 8.0, "components": {"zoo:a": 10.0, "zoo:b": 12.5}}
    (bars,) = perplexity_figure(metrics).data
    assert list(bars.y) == ["<b>hybrid</b>", "a", "b"]
    assert list(bars.x) == [8.0, 10.0, 12.5]


def test_perplexities_far_apart_are_all_visible():
    metrics = {"perplexity": 8.0, "components": {"a": 10.0, "b": 9000.0}}
    figure = perplexity_figure(metrics, floor=1.5)
    assert figure.layout.xaxis.type == "log"
    assert 10 ** figure.layout.xaxis.range[0] < np.exp(1.5)
    assert figure.data[0].text[-1] == "9,000"


def test_perplexity_that_is_not_known_says_so():
    assert not perplexity_figure(None).data
    assert not perplexity_figure({"perplexity": None}).data
    metrics = {"perplexity": 3.0, "components": {"a": None}}
    assert perplexity_figure(metrics).data[0].text[1] == "not finite"

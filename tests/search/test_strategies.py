"""What must hold in every strategy: the simplex, resuming, and the result."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.search.parameterizations import GumbelMixture
from manticore.store.events import EventWriter
from manticore.train.loop import Loop
from manticore.train.stage import train
from manticore.views.plots import outcome_figure
from tests.tiny_runs import run_config

STEPS = 8
OPTIONS = {
    "darts": {"mixture_lr": 0.3, "entropy": 0.1},
    "darts-bilevel": {"mixture_lr": 0.3},
    "darts-bilevel, second order": {"mixture_lr": 0.3, "second_order": True},
    "darts-bilevel, second order, all else frozen": {
        "mixture_lr": 0.3,
        "second_order": True,
        "component_lr": 0,
        "projector_lr": 0,
    },
    "gaea": {"mixture_lr": 2.0},
    "dash": {"mixture_lr": 0.3},
    "routed": {"mixture_lr": 0.3, "entropy": 0.1, "router": {"fit_steps": 3, "smoothness": 0.1}},
    "routed, sparse": {"router": {"fit_steps": 0, "threshold": 0.49, "lr": 0.1}},
    "probe": {"probe_every": 2},
    "random": {"candidates": 3},
    "sweep": {"grid": 3},
    "fixed": {},
    "darts, tied": {"mixture_lr": 0.3, "tied": True},
    "gaea, pruned": {"mixture_lr": 20.0, "prune_below": 0.45, "prune_after": 3, "prune_steps": 2},
}
MOVING = [name for name in OPTIONS if name != "fixed"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searches")


@pytest.fixture(scope="module")
def config(component: Callable[..., str], folder: Path) -> Callable[..., RunConfig]:
    def make(case: str) -> RunConfig:
        search = {
            "strategy": case.split(",")[0],
            "steps": STEPS,
            "batch_size": 4,
            "accumulate": 2,
            "eval_every": STEPS,
            "eval_batches": 1,
            "checkpoint_every": 3,
            "warmup_steps": 2,
            "sample_prompt": "",
        }
        parts = [component("gpt_neox"), component("mamba", width=24)]
        return run_config(folder, parts, "search", search | OPTIONS[case])

    return make


@pytest.fixture(scope="module")
def whole(config: Callable[..., RunConfig], folder: Path) -> Callable[[str], Run]:
    """The run of a case, from its start to its end without a break."""
    done: dict[str, Run] = {}

    def do(case: str) -> Run:
        if case not in done:
            done[case] = run_it(config(case), folder / "whole")
        return done[case]

    return do


def run_it(config: RunConfig, root: Path, stop_at: int | None = None) -> Run:
    """Run in this process; with `stop_at`, as two workers, the first of which is told to stop."""
    run = Run(make_run_folder(config, root=root))
    for last in (stop_at, None) if stop_at else (None,):
        with EventWriter(run.folder) as events:
            train(run.folder, config, events, lambda last=last: run.losses()[0].size == last)
    return run


@pytest.mark.parametrize("case", OPTIONS)
def test_interrupted_and_resumed_is_uninterrupted(
    config: Callable[..., RunConfig], whole: Callable[[str], Run], tmp_path: Path, case: str
) -> None:
    unbroken = whole(case)
    parts = run_it(config(case), tmp_path, stop_at=4)
    assert unbroken.losses()[1].tolist() == parts.losses()[1].tolist()
    assert unbroken.mixture_history().tolist() == parts.mixture_history().tolist()
    one, other = unbroken.hybrid().state_dict(), parts.hybrid().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("case", OPTIONS)
def test_rows_stay_on_the_simplex(whole: Callable[[str], Run], case: str) -> None:
    run = whole(case)
    history = torch.tensor(run.mixture_history())
    assert history.shape == (STEPS + 1, 2, 2)
    assert (history >= 0).all()
    assert (history.sum(dim=-1) - 1).abs().max() < 1e-6
    assert (len(history.unique(dim=0)) > 1) == (case in MOVING)
    result = json.loads((run.folder / "result" / "metrics.json").read_text())
    assert torch.tensor(result["mixture_weights"]).equal(run.hybrid().mixture_weights)


def test_tied_rows_are_alike(whole: Callable[[str], Run]) -> None:
    history = whole("darts, tied").mixture_history()
    assert (history[:, 0] == history[:, 1]).all()


def test_pruned_components_leave_the_hybrid(whole: Callable[[str], Run]) -> None:
    run = whole("gaea, pruned")
    history = run.mixture_history()
    # After three steps it is looked at, and twice under the threshold is enough.
    assert (history[4] > 0).all()
    assert (history[-1].max(axis=1) == 1).all()
    hybrid = run.hybrid()
    assert [len(hybrid.live_runners(block)) for block in range(2)] == [1, 1]


@pytest.mark.parametrize("case", ["random", "sweep"])
def test_the_best_candidate_is_taken(whole: Callable[[str], Run], case: str) -> None:
    run = whole(case)
    result = json.loads((run.folder / "result" / "metrics.json").read_text())
    losses, candidates = result["held_out_losses"], result["candidates"]
    assert len(losses) == len(candidates) == 3
    assert len(set(losses)) > 1
    best = torch.tensor(candidates[losses.index(min(losses))]).expand(2, 2)
    torch.testing.assert_close(run.hybrid().mixture_weights, best, rtol=0, atol=1e-6)
    # Whoever watches gets what it was chosen by, with the perplexity of the choice.
    last = [event["metrics"] for event in run.events() if event["kind"] == "eval"][-1]
    assert (last["held_out_losses"], last["candidates"]) == (losses, candidates)
    assert last["perplexity"] == result["perplexity"]
    (curve, *_) = outcome_figure(run.events(), "search").data
    assert curve.type == ("scatter" if case == "sweep" else "bar")


def test_held_out_text_comes_in_parts_too(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    forward = Loop.loss

    def measured(loop: Loop, batches: list, *arguments: object) -> torch.Tensor:
        sizes.append([len(batch["input_ids"]) for batch in batches])
        return forward(loop, batches, *arguments)

    monkeypatch.setattr(Loop, "loss", measured)
    run_it(config("darts-bilevel"), tmp_path)
    assert sizes == [[2]] * (4 * STEPS)


def test_the_temperature_falls_from_first_to_last(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temperatures = []
    draw = GumbelMixture.draw

    def noted(mixture: GumbelMixture, seed: int, step: int, temperature: float) -> None:
        temperatures.append(temperature)
        draw(mixture, seed, step, temperature)

    monkeypatch.setattr(GumbelMixture, "draw", noted)
    run_it(config("dash"), tmp_path)
    assert len(temperatures) == STEPS
    assert temperatures[0] == 2.0
    assert temperatures[-1] == pytest.approx(0.2)
    assert temperatures == sorted(temperatures, reverse=True)


@pytest.mark.parametrize("weight", [5.0, -5.0])
def test_entropy_drives_rows_to_corners_or_apart(
    component: Callable[..., str], tmp_path: Path, weight: float
) -> None:
    search = {"entropy": weight, "mixture_lr": 0.1, "component_lr": 0, "projector_lr": 0}
    search |= {"steps": STEPS, "batch_size": 4, "eval_every": STEPS, "eval_batches": 1}
    search |= {"sample_prompt": "", "warmup_steps": 0}
    parts = [component("gpt_neox"), component("mamba", width=24)]
    alpha = [[0.7, 0.3], [0.2, 0.8]]
    config = run_config(tmp_path, parts, "search", search, mixture_weights=alpha)
    history = torch.tensor(run_it(config, tmp_path).mixture_history())
    entropy = -(history * history.log()).sum(dim=-1)
    assert ((entropy[-1] < entropy[0]) == (weight > 0)).all()

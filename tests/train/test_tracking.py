"""Trackers get what the events say, once each, also when a run is killed and resumed."""

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.runs.stages import run_stage
from manticore.store.events import EventWriter
from manticore.train.tracking import tracked_values
from tests.tiny_runs import run_config

STEPS = 6


class _KilledError(Exception):
    pass


@pytest.fixture
def config(component: Callable[..., str], tmp_path: Path) -> Callable[..., RunConfig]:
    def make(tracker: str, stage: str = "search") -> RunConfig:
        options = {"batch_size": 2, "eval_batches": 1}
        if stage == "search":
            options |= {"steps": STEPS, "eval_every": 3, "checkpoint_every": 2, "sample_tokens": 4}
            options |= {"mixture_lr": 3.0}
        parts = [component("gpt_neox"), component("mamba", width=24)]
        return run_config(tmp_path, parts, stage, options, trackers=[tracker])

    return make


def work(config: RunConfig, root: Path, die_at: int | None = None) -> Run:
    """Do a run in this process; with `die_at`, it dies after that step and is resumed."""
    run = Run(make_run_folder(config, root=root))

    def die() -> bool:
        if run.losses()[0].size == die_at:
            raise _KilledError
        return False

    if die_at is not None:
        with EventWriter(run.folder) as events, pytest.raises(_KilledError):
            run_stage(run.folder, config, events, die)
    with EventWriter(run.folder) as events:
        run_stage(run.folder, config, events, lambda: False)
    return run


def tensorboard(run: Run) -> tuple[dict[str, list], dict[str, list[str]]]:
    """Scalars as (step, value), and texts, of all files of a run."""
    scalars, texts = defaultdict(list), defaultdict(list)
    for path in sorted((run.folder / "tensorboard").rglob("events.*")):
        read = EventAccumulator(str(path)).Reload()
        for tag in read.Tags()["scalars"]:
            scalars[tag] += [(event.step, event.value) for event in read.Scalars(tag)]
        for tag in read.Tags()["tensors"]:
            texts[tag] += [event.tensor_proto.string_val[0].decode() for event in read.Tensors(tag)]
    return scalars, texts


@pytest.mark.parametrize("die_at", [None, 5])
def test_tensorboard_has_every_step_once(
    config: Callable[..., RunConfig], tmp_path: Path, die_at: int | None
) -> None:
    run = work(config("tensorboard"), tmp_path, die_at)
    scalars, texts = tensorboard(run)
    steps = list(range(1, STEPS + 1))
    assert [step for step, _ in scalars["train/loss"]] == steps
    losses = [value for _, value in scalars["train/loss"]]
    assert losses == pytest.approx(run.losses()[1].tolist(), rel=1e-6)
    assert {step for step, _ in scalars["lr/mixture"]} == set(steps)
    assert all(value > 0 for _, value in scalars["train/tokens_per_s"])
    names = run.hybrid().component_names
    for k, name in enumerate(names):
        weights = scalars[f"mixture/block-2/{name}"]
        assert [step for step, _ in weights] == [0, *steps]
        history = run.mixture_history()[:, 1, k].tolist()
        assert [value for _, value in weights] == pytest.approx(history, rel=1e-6)
    metrics = run.metrics()
    assert [step for step, _ in scalars["perplexity/hybrid"]] == [0, 3, STEPS]
    assert scalars["perplexity/hybrid"][-1][1] == pytest.approx(metrics["perplexity"])
    assert scalars[f"perplexity/{names[0]}"][0][1] == pytest.approx(metrics["components"][names[0]])
    samples = [event["text"] for event in run.events() if event["kind"] == "sample"]
    assert texts["sample/text_summary"] == samples[-3:]
    warnings = [event["message"] for event in run.events() if event["kind"] == "warning"]
    assert texts.get("warning/text_summary", []) == warnings


def test_an_evaluation_is_tracked_too(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    run = work(config("tensorboard", "evaluate"), tmp_path)
    scalars, _ = tensorboard(run)
    assert scalars["perplexity/hybrid"] == [(0, pytest.approx(run.metrics()["perplexity"]))]
    assert scalars["mixture/block-1/" + run.hybrid().component_names[0]] == [(0, 0.5)]


def test_trackio_has_every_step_once(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    run = work(config("trackio"), tmp_path, die_at=5)
    rows = SQLiteStorage.get_logs("manticore", run.id)
    losses = {row["step"]: row["train/loss"] for row in rows if "train/loss" in row}
    assert [row["step"] for row in rows if "train/loss" in row] == list(range(1, STEPS + 1))
    assert list(losses.values()) == pytest.approx(run.losses()[1].tolist())


def test_a_tracker_that_is_not_installed_is_refused_before_the_run_is_made(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install wandb"):
        make_run_folder(config("wandb"), root=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_an_unknown_tracker_is_refused(config: Callable[..., RunConfig]) -> None:
    with pytest.raises(ValueError, match="tensorboard"):
        config("abacus")


def test_a_floor_is_tracked_as_a_perplexity_where_there_is_one() -> None:
    metrics = {"perplexity": 4.0, "components": {"a": 5.0}, "floor": 2.0}
    expected = {"perplexity/hybrid": 4.0, "perplexity/a": 5.0, "perplexity/floor": math.exp(2.0)}
    assert tracked_values("eval", {"step": 0, "metrics": metrics}) == expected
    assert tracked_values("eval", {"metrics": metrics | {"floor": None}}).keys() < expected.keys()
    assert tracked_values("done", {}) == {}

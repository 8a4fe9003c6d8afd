"""A broken checkpoint: nothing of it is loaded, an earlier one is, and the run says so."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.train.checkpoints import Checkpoints
from manticore.train.stage import train
from tests.tiny_runs import run_config

STEPS = 8
FILES = ["model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl"]


@pytest.fixture
def config(component: Callable[..., str], tmp_path: Path) -> RunConfig:
    search = {"steps": STEPS, "batch_size": 2, "eval_every": STEPS, "eval_batches": 1}
    search |= {"checkpoint_every": 2, "sample_prompt": "", "mixture_lr": 0.3}
    # Dropout draws from the random state, which is in the checkpoint too.
    parts = [component("gpt2"), component("mamba", width=24)]
    return run_config(tmp_path, parts, "search", search)


def go_on(run: Run, stop_at: int | None = None) -> None:
    with EventWriter(run.folder) as events:
        train(run.folder, run.config, events, lambda: run.losses()[0].size == stop_at)


def newest(run: Run) -> Path:
    return max((run.folder / "checkpoints").glob("step-*"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


DAMAGES = {
    f"{harm.__name__} {name}": (harm, name) for harm in (truncate, corrupt) for name in FILES
}
DAMAGES["missing optimizer"] = (Path.unlink, "optimizer.bin")
DAMAGES["missing progress"] = (Path.unlink, "progress.json")
DAMAGES["truncated progress"] = (truncate, "progress.json")


def test_the_newest_whole_checkpoint_is_gone_on_from(config: RunConfig, tmp_path: Path) -> None:
    whole = Run(make_run_folder(config, root=tmp_path / "whole"))
    go_on(whole)
    for number, (harm, name) in enumerate(DAMAGES.values()):
        run = Run(make_run_folder(config, root=tmp_path / str(number)))
        go_on(run, stop_at=5)
        broken = newest(run)
        harm(broken / name)
        go_on(run)
        warnings = [e["message"] for e in run.events() if e["kind"] == "warning"]
        (warning,) = [message for message in warnings if "put aside" in message]
        assert broken.name in warning
        # It went on from step 4, and nothing of step 5 was left in it.
        steps = [event["step"] for event in run.events() if event["kind"] == "step"]
        assert steps == [1, 2, 3, 4, 5, 5, 6, 7, 8]
        assert run.losses()[1].tolist() == whole.losses()[1].tolist()
        one, other = whole.hybrid().state_dict(), run.hybrid().state_dict()
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert run.hybrid_source().is_dir()


@pytest.mark.parametrize("sharded", [True, False])
def test_a_checkpoint_of_another_way_of_working_is_not_loaded(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sharded: bool
) -> None:
    run = Run(make_run_folder(config, root=tmp_path / "runs"))
    go_on(run, stop_at=3)
    if sharded:
        progress = newest(run) / "progress.json"
        progress.write_text(json.dumps(json.loads(progress.read_text()) | {"sharded": True}))
    else:
        monkeypatch.setattr(Checkpoints, "sharded", True)
    with pytest.raises(ValueError, match="under FSDP" if sharded else "without FSDP"):
        go_on(run)


def test_without_any_whole_checkpoint_it_starts_again(config: RunConfig, tmp_path: Path) -> None:
    run = Run(make_run_folder(config, root=tmp_path / "runs"))
    go_on(run, stop_at=1)
    truncate(newest(run) / "optimizer.bin")
    go_on(run, stop_at=3)
    steps = [event["step"] for event in run.events() if event["kind"] == "step"]
    assert steps == [1, 1, 2, 3]


def test_weights_are_safetensors_and_no_code_is_unpickled(
    config: RunConfig, tmp_path: Path
) -> None:
    run = Run(make_run_folder(config, root=tmp_path / "runs"))
    go_on(run, stop_at=2)
    assert (newest(run) / "model.safetensors").is_file()
    assert not list(newest(run).glob("pytorch_model*"))
    torch.save(Path("not a tensor"), newest(run) / "optimizer.bin")
    progress = newest(run) / "progress.json"
    progress.write_text(json.dumps(json.loads(progress.read_text()) | {"files": {}}))
    with pytest.raises(Exception, match="Weights only load failed"):
        go_on(run)


@pytest.mark.parametrize("harm", [truncate, corrupt])
def test_readers_take_the_newest_whole_checkpoint(
    config: RunConfig, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    run = Run(make_run_folder(config, root=tmp_path / "runs"))
    go_on(run, stop_at=4)
    earlier = run.hybrid().state_dict()
    go_on(run, stop_at=6)
    later = run.hybrid().state_dict()
    assert not torch.equal(later["mixture.alpha"], earlier["mixture.alpha"])
    harm(newest(run) / "model.safetensors")
    assert run.hybrid_source().name == "step-00000004"
    found = run.hybrid().state_dict()
    assert all(torch.equal(found[name], earlier[name]) for name in earlier)
    # It is the worker that puts broken ones aside.
    assert newest(run).name == "step-00000006"
    harm(run.hybrid_source() / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="no hybrid yet"):
        run.hybrid()


def test_tied_weights_are_nothing_to_warn_of(
    config: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(make_run_folder(config, root=tmp_path))
    go_on(run, stop_at=2)
    assert newest(run).exists()
    assert "shared tensor" not in caplog.text

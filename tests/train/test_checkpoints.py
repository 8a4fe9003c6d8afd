"""A broken checkpoint: nothing of it is loaded, an earlier one is, and the run says so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.store.folder import CONFIG_FILE
from manticore.train.checkpoints import BrokenCheckpointError, Checkpoints, read_progress, sealed
from manticore.train.stage import train
from tests.tiny_runs import run_config

STEPS = 8
FILES = ["model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl"]


def configure(component: Callable[..., str], folder: Path) -> RunConfig:
    search = {"steps": STEPS, "batch_size": 2, "eval_every": STEPS, "eval_batches": 1}
    search |= {"checkpoint_every": 2, "sample_prompt": "", "mixture_lr": 0.3}
    # Dropout draws from the random state, which is in the checkpoint too.
    parts = [component("gpt2"), component("mamba", width=24)]
    return run_config(folder, parts, "search", search)


@pytest.fixture
def config(component: Callable[..., str], tmp_path: Path) -> RunConfig:
    return configure(component, tmp_path)


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


def change_progress(change: Callable[[dict], dict], seal: bool = False) -> Callable[[Path], None]:
    """A function that changes `progress.json`, and seals it again if asked to."""

    def changed(path: Path) -> None:
        progress = change(json.loads(path.read_text()))
        path.write_text(json.dumps(sealed(progress) if seal else progress))

    return changed


STEPS_GIVEN = {"one more": 6, "none": None, "in words": "5", "no integer": 5.0}
DAMAGES = {
    f"{harm.__name__} {name}": (harm, name) for harm in (truncate, corrupt) for name in FILES
}
DAMAGES["missing optimizer"] = (Path.unlink, "optimizer.bin")
DAMAGES["missing progress"] = (Path.unlink, "progress.json")
DAMAGES["truncated progress"] = (truncate, "progress.json")
DAMAGES["other settings"] = (change_progress(lambda p: {**p, "settings": {}}), "progress.json")
DAMAGES |= {
    f"step {label}, sealed: {seal}": (
        change_progress(lambda p, step=step: {**p, "step": step}, seal),
        "progress.json",
    )
    for label, step in STEPS_GIVEN.items()
    for seal in (False, True)
}
RESUMED = ["corrupt model.safetensors", "missing optimizer", "step one more, sealed: False"]


@pytest.fixture(scope="module")
def stopped(
    component: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Run]:
    """A run that was done without a break, and one that was stopped after its fifth step."""
    folder = tmp_path_factory.mktemp("runs")
    whole, run = (Run(make_run_folder(configure(component, folder), root=folder)) for _ in range(2))
    go_on(whole)
    go_on(run, stop_at=5)
    return whole, run


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_noticed(stopped: tuple[Run, Run], tmp_path: Path, damage: str) -> None:
    harm, name = DAMAGES[damage]
    checkpoint = shutil.copytree(newest(stopped[1]), tmp_path / newest(stopped[1]).name)
    assert read_progress(checkpoint)["step"] == 5
    harm(checkpoint / name)
    with pytest.raises(BrokenCheckpointError):
        read_progress(checkpoint)


@pytest.mark.parametrize("damage", RESUMED)
def test_the_newest_whole_checkpoint_is_gone_on_from(
    stopped: tuple[Run, Run], tmp_path: Path, damage: str
) -> None:
    harm, name = DAMAGES[damage]
    whole = stopped[0]
    run = Run(shutil.copytree(stopped[1].folder, tmp_path / stopped[1].id))
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
        mark = change_progress(lambda progress: progress | {"sharded": True}, seal=True)
        mark(newest(run) / "progress.json")
    else:
        monkeypatch.setattr(Checkpoints, "sharded", True)
    with pytest.raises(ValueError, match="under FSDP" if sharded else "without FSDP"):
        go_on(run)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"options": {"mixture_lr": 0.02}}, "options.mixture_lr was 0.3 and is 0.02"),
        ({"options": {"strategy": "gaea"}}, "options.strategy was 'darts' and is 'gaea'"),
        ({"options": {"steps": 20}}, "options.steps was 8 and is 20"),
        ({"seed": 7}, "seed was 0 and is 7"),
        ({"data": {"seq_len": 8}}, "data.seq_len was 16 and is 8"),
    ],
)
def test_a_checkpoint_of_other_settings_is_not_gone_on_from(
    config: RunConfig, tmp_path: Path, change: dict, says: str
) -> None:
    run = Run(make_run_folder(config, root=tmp_path / "runs"))
    go_on(run, stop_at=3)
    edit_config(run, change)
    with pytest.raises(ValueError, match=f"settings have changed.*: {says}. Change them back"):
        go_on(Run(run.folder))
    assert run.losses()[0].tolist() == [1, 2, 3]


def test_a_run_goes_on_wherever_and_however_it_is_watched(
    config: RunConfig, tmp_path: Path
) -> None:
    run = Run(make_run_folder(config, root=tmp_path / "runs"))
    go_on(run, stop_at=3)
    moved = tmp_path / "moved.txt"
    Path(config.data["source"]).rename(moved)
    options = {"eval_every": 1, "checkpoint_every": 1, "sample_prompt": "Once"}
    edit_config(run, {"data": {"source": str(moved)}, "name": "Another", "options": options})
    go_on(Run(run.folder))
    assert run.losses()[0].tolist() == list(range(1, STEPS + 1))


def test_a_checkpoint_from_before_settings_were_kept_is_gone_on_from(
    config: RunConfig, tmp_path: Path
) -> None:
    run = Run(make_run_folder(config, root=tmp_path / "runs"))
    go_on(run, stop_at=3)
    kept = ("step", "sharded", "files")
    forget = change_progress(lambda progress: {name: progress[name] for name in kept})
    forget(newest(run) / "progress.json")
    go_on(run)
    assert [event["step"] for event in run.events() if event["kind"] == "step"] == [
        *range(1, STEPS + 1)
    ]


def edit_config(run: Run, change: dict) -> None:
    """Change values of `config.json`, one level deep."""
    path = run.folder / CONFIG_FILE
    values = json.loads(path.read_text())
    for name, value in change.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(values))


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
    change_progress(lambda progress: progress | {"files": {}}, seal=True)(
        newest(run) / "progress.json"
    )
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

"""An exported run becomes a run again; a zip file from anybody else leaves nothing behind."""

import io
import json
import stat
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.archive import export_run, import_run
from manticore.archive.checks import check_events, read_config
from manticore.archive.reading import NotAnExportError, unpack
from manticore.runs import Run, runs
from manticore.runs.trash import discard

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def files(done: Run, exported: Path) -> Files:
    """The files of the export that a run needs, by their names in it."""
    with zipfile.ZipFile(exported) as archive:
        names = [name for name in archive.namelist() if "figures" not in name]
        return {name.removeprefix(f"{done.id}/"): archive.read(name) for name in names}


def zipped(folder: Path, files: Files, top: str = "run") -> Path:
    file = folder / "made.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{top}/{name}" if top else name, content)
    return file


def refused(file: Path, root: Path) -> str:
    """What is told of a file that is not imported; nothing of it stays."""
    with pytest.raises(ValueError, match=r"\.$") as error:
        import_run(file, root)
    assert list(root.iterdir()) == []
    return str(error.value)


def test_a_run_comes_back_whole(done: Run, exported: Path, tmp_path: Path) -> None:
    run = import_run(exported, tmp_path, owner="ada")
    assert [one.id for one in runs(tmp_path)] == [run.id] == [done.id]
    assert run.events() == done.events()
    assert run.metrics() == done.metrics()
    assert (run.name, run.note, run.config.owner) == (done.name, done.note, "ada")
    assert (run.status.state, run.took()) == ("done", done.took())
    ids = torch.arange(12).view(1, -1)
    with torch.no_grad():
        assert torch.equal(run.hybrid()(ids).logits, done.hybrid()(ids).logits)
    first, second = run.hybrid_to_finetune(), done.hybrid_to_finetune()
    for name, tensor in second.state_dict().items():
        assert torch.equal(first.state_dict()[name], tensor), name
    # Once more: the id is taken, also by a run that can be brought back.
    assert import_run(exported, tmp_path).id != done.id
    discard(run)
    assert import_run(exported, tmp_path).id != done.id


def test_an_export_of_an_import_is_the_same(exported: Path, tmp_path: Path, done: Run) -> None:
    again = export_run(import_run(exported, tmp_path), tmp_path / "again.zip")
    kept = ("events.jsonl", "metrics.json", "hybrid/model.safetensors", "start/model.safetensors")
    with zipfile.ZipFile(exported) as one, zipfile.ZipFile(again) as other:
        for name in kept:
            assert one.read(f"{done.id}/{name}") == other.read(f"{done.id}/{name}")


def test_what_the_configuration_says_gives_no_rights(files: Files, done: Run) -> None:
    said = json.loads(files["run.json"])
    said |= {"trust_remote_code": True, "recipe": "abc", "owner": "eve"}
    said["start"] = {
        "digest": "x",
        "parent": {"run": "a", "original": True, "config": {**said, "start": None}},
    }
    config = read_config(json.dumps(said).encode(), "bob")
    assert (config.trust_remote_code, config.owner, config.recipe) == (False, "bob", None)
    assert config.start.parent.config.trust_remote_code is False
    assert "cache_dir" in done.config.data
    assert "cache_dir" not in config.data, "where tokens are kept is decided here"


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil", "hybrid/../../x", "a/b/c", "x.pkl"])
@pytest.mark.parametrize("top", ["run", ""])
def test_no_file_leaves_the_folder(files: Files, tmp_path: Path, name: str, top: str) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    plain = {key: value for key, value in files.items() if not key.endswith("safetensors")}
    file = zipped(tmp_path, plain | {"hybrid/model.safetensors": b"", name: b"x"}, top)
    assert "is not a run that was exported" in refused(file, root)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "made.zip"}


SMALL = {"run.json": b"{}", "events.jsonl": b"", "metrics.json": b"{}", "hybrid/config.json": b"{}"}


def link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("run/hybrid/model.safetensors")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def folder_link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("run/start/")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "")


def locked(archive: zipfile.ZipFile) -> None:
    archive.writestr("run/label.json", b"x")
    archive.getinfo("run/label.json").flag_bits |= 1


def packed_oddly(archive: zipfile.ZipFile) -> None:
    archive.writestr("run/label.json", b"x" * 100, zipfile.ZIP_BZIP2)


def twice(archive: zipfile.ZipFile) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("run/run.json", b"{}")


def two_folders(archive: zipfile.ZipFile) -> None:
    archive.writestr("other/README.md", b"")


def many(archive: zipfile.ZipFile) -> None:
    for number in range(1100):
        archive.writestr(f"run/figures/a-{number}.png", b"")


@pytest.mark.parametrize(
    ("add", "says"),
    [
        (link, "is not a plain file"),
        (folder_link, "is not a plain file"),
        (locked, "locked with a password"),
        (packed_oddly, "packed in an unusual way"),
        (twice, "holds run.json twice"),
        (two_folders, "not in one folder"),
        (many, "it holds 1104 files"),
    ],
)
def test_only_plain_files_are_unpacked(
    add: Callable[[zipfile.ZipFile], None], says: str, tmp_path: Path
) -> None:
    file = zipped(tmp_path, SMALL)
    with zipfile.ZipFile(file, "a") as archive:
        add(archive)
    with pytest.raises(NotAnExportError, match=says):
        unpack(file, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["made.zip"]


def test_a_bomb_goes_off_nowhere(tmp_path: Path) -> None:
    """One that says how large it is, one that lies about it, and text that is too long."""
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (SMALL | {"hybrid/model.safetensors": bytes(3_000_000)}).items():
            archive.writestr(f"run/{name}", content)
    assert file.stat().st_size < 10_000
    with pytest.raises(ValueError, match="has 3 MB when it is unpacked, and at most 1 MB"):
        unpack(file, tmp_path, 1_000_000)
    data = file.read_bytes()
    said, lie = (3_000_000).to_bytes(4, "little"), (30).to_bytes(4, "little")
    assert said in data
    file.write_bytes(data.replace(said, lie))
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(NotAnExportError, match="damaged"):
        unpack(file, room, 1_000_000)
    assert sum(path.stat().st_size for path in room.rglob("*")) < 100_000
    file.write_bytes(data.replace(said, (4_000_000_000).to_bytes(4, "little")))
    with pytest.raises(ValueError, match="at most 1 MB"):
        unpack(file, room, 1_000_000)


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_refused_in_words(data: st.DataObject) -> None:
    """Whatever was cut, added or overwritten: an error with its remedy, and nothing else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in SMALL.items():
            archive.writestr(f"run/{name}", content * 20)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "x.zip").write_bytes(content)
        (folder / "out").mkdir()
        with suppress(NotAnExportError):
            unpack(folder / "x.zip", folder / "out", 10_000)
        names = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
        assert names == {"x.zip", "out"}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"Once upon a time"])
def test_what_is_not_a_zip_file_is_told(content: bytes, tmp_path: Path) -> None:
    file, root = tmp_path / "x.zip", tmp_path / "runs"
    root.mkdir()
    file.write_bytes(content)
    assert "Please choose a zip file that Export has made" in refused(file, root)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        import_run(tmp_path / "none.zip", root)


def changed(name: str, change: Callable[[Any], object]) -> Callable[[Files], Files]:
    """Files of which one, of JSON, is changed."""

    def make(files: Files) -> Files:
        values = json.loads(files[name])
        change(values)
        return {**files, name: json.dumps(values).encode()}

    return make


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {key: value for key, value in files.items() if key != name}


def written(name: str, content: bytes) -> Callable[[Files], Files]:
    return lambda files: {**files, name: content}


CONFIG = "hybrid/config.json"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (without("metrics.json"), "lacks metrics.json"),
        (without("hybrid/model.safetensors"), "no weights"),
        (without("hybrid/tokenizer_config.json"), "no tokenizer"),
        (written("run.json", b"[]"), "does not fit this version"),
        (written("run.json", b"{"), "run.json is not JSON"),
        (written("metrics.json", b'{"perplexity": "<script>"}'), "a text as 'perplexity'"),
        (written("label.json", b'{"name": 3}'), "name and note are damaged"),
        (written("events.jsonl", b""), "not come to its end"),
        (written("hybrid/model.safetensors", b"\xff" * 64), "model.safetensors is damaged"),
        (changed("run.json", lambda c: c.update(stage="dance")), "does not fit this version"),
        (changed("run.json", lambda c: c.update(n_blocks=3)), "do not fit together"),
        (changed(CONFIG, lambda c: c.update(model_type="gpt2")), "not made by Manticore"),
        (
            changed(CONFIG, lambda c: c.update(auto_map={"AutoConfig": "eve/x--y.Z"})),
            "foreign code",
        ),
        (
            changed(CONFIG, lambda c: c["components"][0].update(attn_implementation="eve/kernel")),
            "foreign code",
        ),
        (
            changed(CONFIG, lambda c: c["components"][0].update(num_hidden_layers=10**8)),
            "num_hidden_layers=100000000, and fewer weights",
        ),
        (
            changed(CONFIG, lambda c: c["components"][1].update(vocab_size=10**8)),
            "larger than its weights",
        ),
        (changed(CONFIG, lambda c: c.update(vocab_size="many")), "cannot be"),
        (
            changed("hybrid/tokenizer_config.json", lambda c: c.update(auto_map=["eve/x--y.Z"])),
            "foreign code",
        ),
    ],
)
def test_what_does_not_fit_or_could_run_code_is_refused(
    make: Callable[[Files], Files], says: str, files: Files, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    assert says in refused(zipped(tmp_path, make(files)), root)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"kind": "step", "step": "<b>", "loss": 1, "lr": {}}, "step='<b>'"),
        ({"kind": "step", "step": 1, "loss": "<b>", "lr": {}}, "a text as 'loss'"),
        ({"kind": "eval", "step": True, "metrics": {}}, "step=True"),
        ({"kind": "eval", "step": 1, "metrics": {"x": [{"y": "<b>"}]}}, "a text as 'y'"),
        ({"kind": "hybrid", "n_blocks": 10**9, "components": []}, "1000000000 blocks"),
        ({"kind": "done", "time": "now"}, "has no time"),
        ({"kind": "done", "time": 1e300}, "has no time"),
        ({"kind": "dance"}, "is not an event"),
        ({"kind": ["done"]}, "is not an event"),
        ({"kind": "warning"}, "is not an event"),
        ([], "is not an event"),
    ],
)
def test_events_hold_nothing_that_a_page_does_not_expect(
    event: Any, says: str, tmp_path: Path
) -> None:
    told = {"time": 1.0, **event} if isinstance(event, dict) else event
    (tmp_path / "events.jsonl").write_text(json.dumps(told) + "\n")
    with pytest.raises(NotAnExportError) as error:
        check_events(tmp_path)
    assert says in str(error.value)


def test_events_that_cannot_be_shown_are_refused(files: Files, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    odd = {"time": 1.0, "kind": "mixture", "step": 9, "weights": [3], "components": ["a"]}
    events = files["events.jsonl"] + json.dumps(odd).encode() + b"\n"
    file = zipped(tmp_path, {**files, "events.jsonl": events})
    assert "do not fit together" in refused(file, root)

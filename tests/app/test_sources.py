"""What visitors may name: texts, components, uploads and what is on the hub."""

import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from app.components import Components
from app.hub import Hub, is_hub_id
from app.roots import Roots
from app.texts import Texts
from app.uploads import KINDS, MOST_BYTES, Uploads
from manticore.runs import RunConfig

ENDS = f"upload a file that ends in {', '.join(KINDS)}"


@pytest.fixture
def hub(monkeypatch):
    """`hub(error)`: has the hub answer everything with an error; without one it has all."""

    def answer(error=None):
        def ask(self, name, **_):
            if error is not None:
                raise error

        for kind in ("model_info", "dataset_info"):
            monkeypatch.setattr(f"huggingface_hub.HfApi.{kind}", ask)

    return answer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that the page reads, next to one that it does not, where the page was started."""
    for name in ("texts/model", "other/model"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "texts" / "mine.txt").write_text("Once.")
    (tmp_path / "texts" / "empty.txt").touch()
    (tmp_path / "texts" / "model.gguf").touch()
    (tmp_path / "other" / "rows.jsonl").write_text('{"text": "Secret."}')
    (tmp_path / "other" / "payroll.txt").write_text("Secret.")
    (tmp_path / "texts" / "link.txt").symlink_to(tmp_path / "other" / "payroll.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "texts"


def test_texts_of_the_page_stay_in_their_folders(folder, hub):
    hub()
    texts = Texts(Roots([folder]))
    assert texts.source("mine.txt") == texts.source(str(folder / "mine.txt"))
    assert texts.source("mine.txt") == str(folder / "mine.txt")
    assert texts.source("bundled:stories-en") == "bundled:stories-en"
    assert texts.source("owner/TinyStories:train[:1%]") == "owner/TinyStories:train[:1%]"
    outside = str(folder.parent / "other" / "payroll.txt")
    names = [outside, "../other/payroll.txt", "../other/payrol", "link.txt", "/etc/passwd"]
    names += ["~root/x", "/dev/zero", "other/rows.jsonl", "other/rows.jsonl:train", "payroll"]
    names += ["other/model:train", "other/payroll.txt:train", "../other", "..", "x" * 900]
    for name in names:
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            texts.source(name)
        assert "payroll" not in str(error.value)
    with pytest.raises(ValueError, match=r"'empty.txt' is empty"):
        texts.source("empty.txt")
    with pytest.raises(ValueError, match="No text is chosen"):
        texts.source("  ")
    closed = Texts(Roots([]))
    with pytest.raises(FileNotFoundError, match="This page reads no files of its machine"):
        closed.source(str(folder / "mine.txt"))


def test_components_of_the_page_stay_in_their_folders(folder, hub):
    hub()
    components = Components(Roots([folder]))
    for name in ("zoo:tales-neox", "scratch:llama", "owner/name", "gpt2", "owner/name/x.gguf"):
        assert components.source(name) == name
    assert components.source("model") == str(folder / "model")
    assert components.source("model.gguf") == str(folder / "model.gguf")
    for name in ("../other/model", str(folder.parent / "other" / "model"), "other/model", "/etc"):
        with pytest.raises(FileNotFoundError, match="is not a component of this page"):
            components.source(name)
    for name in ("", "<img src=x>", "a/b/c", "~/models", "a--b/c"):
        with pytest.raises(FileNotFoundError, match="hub id OWNER/NAME"):
            components.source(name)
    config = RunConfig(components=["zoo:a", "model"], n_blocks=1, data={})
    assert components.allowed(config).components == ("zoo:a", str(folder / "model"))


def test_the_hub_is_asked_before_a_run_starts(hub, monkeypatch):
    response = type("Response", (), {"headers": {}, "request": None, "status_code": 404})()
    hub(RepositoryNotFoundError("none", response=response))
    with pytest.raises(LookupError, match="The hub has no public model 'owner/nme'"):
        Hub().check_model("owner/nme")
    hub(OSError("no route"))
    for check in (Hub().check_model, Hub().check_dataset):
        with pytest.raises(ConnectionError, match="The hub cannot be reached from here"):
            check("owner/name")
    with pytest.raises(ValueError, match="takes no models from the hub"):
        Hub(allowed=False).check_model("owner/name")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: "config.json")
    Hub().check_model("owner/name")


@pytest.mark.parametrize("name", ["a/../b", "../b", "a//b", "/a/b", "a/b/c", "-a/b\n", "a" * 200])
def test_only_ids_are_ids(name):
    assert not is_hub_id(name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("fox.txt", "Había una vez.".encode()),
        ("fox.MD", b"# Once"),
        ("fox.jsonl", b'{"text": "Once."}\n{"text": "Twice."}\n'),
        ("fox.csv", b"text,year\nOnce.,1\n"),
    ],
)
def test_a_text_is_uploaded(tmp_path, name, content):
    (tmp_path / "given").write_bytes(content)
    uploads = Uploads(tmp_path / "runs")
    source = uploads.add(tmp_path / "given", name)
    path = uploads.path(source)
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o077 == 0
    assert Texts(Roots([]), uploads).source(source) == str(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("fox.exe", b"Once.", ENDS),
        ("fox", b"Once.", ENDS),
        ("fox.txt", b"", "holds no text"),
        ("fox.txt", b" \n ", "holds no text"),
        ("fox.txt", b"caf\xe9 au lait", "fox.txt is not UTF-8 text"),
        ("fox.txt", b"\x1f\x8b\x08\x00", "is compressed"),
        ("fox.txt", bytes(6_000_000), "has 6.0 MB: upload at most 5 MB"),
        ("fox.jsonl", b'{"text": "Once."}\n{"text": \n', "fox.jsonl, line 2 is not valid JSON"),
        ("fox.csv", b"year,words\n1,Once.\n", "Choose from: words, year"),
    ],
)
def test_what_is_not_a_text_is_not_kept(tmp_path, name, content, says):
    (tmp_path / "given").write_bytes(content)
    uploads = Uploads(tmp_path / "runs")
    with pytest.raises(ValueError, match=says):
        uploads.add(tmp_path / "given", name)
    kept = list(uploads.folder.iterdir()) if uploads.folder.is_dir() else []
    assert kept == []


def test_uploads_have_an_end(tmp_path, monkeypatch):
    (tmp_path / "given").write_bytes(b"Once.")
    uploads = Uploads(tmp_path / "runs")
    monkeypatch.setattr(Uploads, "_size", lambda self: MOST_BYTES)
    with pytest.raises(ValueError, match="as many uploaded texts as it may"):
        uploads.add(tmp_path / "given", "fox.txt")


@pytest.mark.parametrize("source", ["upload:", "upload:../x.txt", "upload:/etc/passwd", "upload:x"])
def test_the_name_of_an_upload_is_not_trusted(tmp_path, source):
    with pytest.raises(FileNotFoundError, match="upload it again"):
        Uploads(tmp_path).path(source)

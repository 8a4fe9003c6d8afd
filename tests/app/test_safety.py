"""Attacks on the page over HTTP: without a login, as another user, from elsewhere, by its forms."""

import io
import json
import zipfile
from functools import partial
from pathlib import Path

import pytest

from app import run_panel
from app.hub import Hub
from app.roots import Roots
from app.users import Users
from manticore.archive import export_run
from manticore.runs import Run, RunConfig, runs, start_run
from manticore.runs.launch import make_run_folder
from manticore.store.status import write_status
from tests.app.visitor import Served
from tests.app.zoo import make_zoo
from tests.tiny_runs import do_here, run_config

ADA, BOB = ("ada", "lantern-and-fox"), ("bob", "fox-and-lantern")
EVIL = "http://evil.example"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A page with two users, on which nothing of this machine may be read but one folder."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("texts", "private"):
        (folder / name).mkdir()
    (folder / "texts" / "mine.txt").write_text("Once upon a time. " * 40)
    (folder / "private" / "payroll-2026.txt").write_text("Secret. " * 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANTICORE_ZOO", str(make_zoo(folder / "zoo")))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        page = Served(
            users=Users(dict((ADA, BOB))),
            root=folder / "runs",
            roots=Roots([folder / "texts"]),
            hub=Hub(allowed=False),
        )
        page.folder = folder
        yield page
        page.blocks.close(verbose=False)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, component):
    """The zip file of a run that is done."""
    root = tmp_path_factory.mktemp("exported")
    options = {"steps": 1, "batch_size": 2, "eval_batches": 1, "sample_prompt": ""}
    config = run_config(root, [component("gpt2")], options=options)
    return export_run(do_here(Run(make_run_folder(config, root=root))), root / "run.zip")


@pytest.fixture
def ada(served):
    return served.visitor(*ADA)


@pytest.fixture
def bob(served):
    return served.visitor(*BOB)


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch):
    """Runs are made as always, and nobody works on them."""
    monkeypatch.setattr(run_panel, "start_run", partial(start_run, launch=False))


def made(served, owner=None):
    config = RunConfig(components=["zoo:a"], n_blocks=1, data={"source": "x"}, owner=owner)
    folder = make_run_folder(config, root=served.options.root)
    write_status(folder, "stopped")
    return Run(folder)


@pytest.mark.parametrize("path", ["/config", "/gradio_api/info", "/gradio_api/file=/etc/passwd"])
def test_without_a_login_nothing_is_read(served, path):
    assert served.visitor().http.get(path).status_code == 401


def test_without_a_login_nothing_is_done(served):
    stranger = served.visitor()
    join = stranger.http.post("/gradio_api/queue/join", json={"data": [], "fn_index": 0})
    assert join.status_code == 401
    assert stranger.upload("a.txt", b"Once.").status_code == 401
    wrong = {"username": "ada", "password": BOB[1]}
    assert stranger.http.post("/login", data=wrong).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": "evil.example"}, 421), ({"Origin": EVIL}, 403), ({"Origin": "null"}, 403)],
)
def test_other_web_sites_are_refused(ada, headers, status):
    assert ada.http.get("/config", headers=headers).status_code == status
    assert ada.http.post("/gradio_api/queue/join", json={}, headers=headers).status_code == status
    assert ada.upload("a.txt", b"Once.", **headers).status_code == status


@pytest.mark.parametrize("button", ["stop", "end", "resume", "runs-delete"])
def test_another_users_run_is_only_looked_at(served, bob, button):
    run = made(served, owner="ada")
    _, told = bob.press(button, run.id)
    assert told == [
        "This run belongs to ada. You can look at it; only ada can change it.",
    ]
    assert run.status.state == "stopped"


def test_a_run_from_elsewhere_is_only_looked_at(served, bob):
    run = made(served)
    _, told = bob.press("runs-delete", run.id)
    assert "was not started by a user of this page" in told[0]
    assert run.folder.is_dir()


def test_a_run_of_ones_own_is_deleted_and_shown_with_its_owner(served, ada, bob):
    run = made(served, owner="ada")
    (table, *_), _ = bob.press("runs-filter", run.id, event="change")
    assert "ada" in table["data"][0][-1]
    ada.press("runs-delete", run.id)
    assert not run.folder.is_dir()


@pytest.mark.parametrize(
    "path", ["private/payroll-2026.txt", "private/payrol", "texts/../private/payroll-2026.txt"]
)
def test_files_outside_of_the_roots_are_neither_read_nor_told(served, ada, path):
    before = len(runs(served.options.root))
    for name in (str(served.folder / path), f"../{path}", f"~/{path}", "/dev/zero", "/etc"):
        _, told = start(ada, text=name)
        assert "payroll" not in "".join(told)
        assert "There is no text of this name" in told[0]
    for name in (str(served.folder / "private"), "../private", "/etc"):
        _, told = start(ada, components=["zoo:tiny-neox", name])
        assert "is not a component of this page" in told[0]
    assert len(runs(served.options.root)) == before


def test_what_is_typed_is_never_markup(served, ada):
    _, told = start(ada, components=["zoo:tiny-neox", "<img src=x onerror=alert(1)>"])
    assert "&lt;img" in told[0]
    assert "<img" not in told[0]


def test_nothing_is_taken_from_the_hub_where_it_is_not_allowed(ada):
    _, told = start(ada, components=["zoo:tiny-neox", "owner/name"])
    assert told == ["This page takes no models from the hub: choose one from the list."]
    _, told = start(ada, text="owner/name:train")
    assert told == ["This page takes no data sets from the hub: choose one from the list."]


def test_an_uploaded_text_is_kept_with_the_runs_of_its_user(served, bob):
    (path,) = bob.upload("fox.txt", b"Once upon a time. " * 40).json()
    file = {"path": path, "orig_name": "fox.txt", "meta": {"_type": "gradio.FileData"}}
    (update, _), told = bob.press("upload", file, event="upload")
    assert told == []
    assert update["choices"][-1] == ["fox.txt (uploaded)", update["value"]]
    _, told = start(bob, text=update["value"])
    assert told == []
    newest = runs(served.options.root)[0]
    assert newest.config.owner == "bob"
    source = newest.config.data["source"]
    assert source == str(served.options.root / "uploads" / update["value"].removeprefix("upload:"))
    _, told = start(bob, text="upload:../texts/mine.txt")
    assert told == ["This uploaded text is not there any more: upload it again."]


def test_an_upload_is_small_and_of_the_page(served, ada):
    assert ada.upload("a.txt", bytes(6_000_000)).status_code == 413
    for path in ("/etc/passwd", str(served.folder / "private" / "payroll-2026.txt")):
        file = {"path": path, "orig_name": "a.txt", "meta": {"_type": "gradio.FileData"}}
        answer, _ = ada.press("upload", file, event="upload")
        assert answer is None, "Gradio refuses a file that was not uploaded"


def test_another_users_run_is_not_renamed(served, ada, bob):
    run = made(served, owner="ada")
    for name, event in (("runs-save", "click"), ("runs-name", "submit")):
        _, told = bob.press(name, run.id, "Bob's", "his note", event=event)
        assert told == ["This run belongs to ada. You can look at it; only ada can change it."]
    assert (run.name, run.note) == ("", "")
    ada.press("runs-save", run.id, "<b>Fox</b>", "a <i>note</i>")
    assert (run.name, run.note) == ("<b>Fox</b>", "a <i>note</i>")
    _, told = ada.press("runs-save", run.id, "x" * 121, "")
    assert told == ["The name has 121 characters: shorten it to at most 120."]
    (table, *_), _ = bob.press("runs-filter", f"fox note {run.id}", event="change")
    assert table["data"][0][0].startswith("<b>Fox</b>: ")


def test_an_imported_run_is_its_users_and_reads_nothing_else(served, bob, exported):
    with zipfile.ZipFile(exported) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in files if name.endswith("/run.json"))
    config = json.loads(files[name])
    secret = str(served.folder / "private" / "payroll-2026.txt")
    for source in (secret, "/etc/passwd", "bundled:poems", "owner/name:train"):
        config["data"]["source"] = source
        files[name] = json.dumps(config).encode()
        run, told = imported(served, bob, files)
        assert told == ["The run is imported."]
        assert run.config.owner == "bob"
        read = Path(run.config.data["source"])
        assert read.parent == served.options.root / "uploads" / "elsewhere"
        assert not read.exists()
    config["data"]["source"] = "bundled:stories-en"
    files[name] = json.dumps(config).encode()
    run, _ = imported(served, bob, files)
    assert run.config.data["source"] == "bundled:stories-en"
    known = len(runs(served.options.root))
    run, told = imported(served, bob, {"run/run.json": b"{}"})
    assert "This is not a run that was exported" in told[0]
    assert len(runs(served.options.root)) == known
    assert not list(served.options.root.glob(".import-*"))
    assert not list((served.folder / "gradio").rglob("*.zip")), "nothing stays of an upload"


def imported(served, visitor, files):
    """Upload a zip file of some files and import it: the newest run, and what is told."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    (path,) = visitor.upload("run.zip", content.getvalue()).json()
    file = {"path": path, "orig_name": "run.zip", "meta": {"_type": "gradio.FileData"}}
    answer, told = visitor.press("runs-import", file, event="upload")
    chosen = answer[0].get("value") if answer and isinstance(answer[0], dict) else None
    return chosen and Run(served.options.root / chosen), told


def test_programs_ask_under_the_same_rules(served, ada, bob):
    names = {f"/{name}" for name in ("list_runs", "run_state", "start_search", "stop_run")}
    described = ada.http.get("/gradio_api/info").json()["named_endpoints"]
    assert names | {"/continue_text"} == set(described)
    types = [part["python_type"]["type"] for part in described["/start_search"]["parameters"]]
    assert types[:3] == ["list[str]", "str", "int"]
    components = ["zoo:tiny-neox", "zoo:tiny-mamba"]
    given = [components, "mine.txt", 20, 2, "darts", 0, ""]
    run_id = ada.ask("start_search", *given)
    state = bob.ask("run_state", run_id)
    assert (state["owner"], state["state"]) == ("ada", "stopped")
    assert bob.ask("list_runs")[0]["id"] == run_id
    for refused, says in (
        (("stop_run", run_id), "only ada can change it"),
        (("run_state", "../etc"), "no such run"),
        (("run_state", ["x"]), "no such run"),
        (("continue_text", run_id, "Once", 8, 0.8), "no hybrid yet"),
        (("start_search", components, "/etc/passwd", *given[2:]), "There is no text of this name"),
        (("start_search", ["/etc"], *given[1:]), "is not a component of this page"),
        (("start_search", *given[:2], "many", *given[3:]), "steps"),
    ):
        with pytest.raises(PermissionError, match=says):
            bob.ask(*refused)


def start(visitor, **values):
    """Press Start on the form, with other values for some of its inputs."""
    called, given = visitor.form("start")
    parts = {part["id"]: part["props"].get("elem_id") for part in visitor.config()["components"]}
    places = {parts[i]: index for index, i in enumerate(called["inputs"])}
    for name, value in values.items():
        given[places[name]] = value
    return visitor.call(called["id"], given)

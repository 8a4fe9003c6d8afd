"""Who may talk to the page, who may log in, and what the command line refuses."""

import re

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.guard import LARGEST_BODY, LARGEST_RUN, LOGINS, guards, own_names
from app.options import read_options
from app.users import VARIABLE, Users

PAIRS = "# two people\nada: lantern-and-fox\n\nbob:fox:and:lantern\n"


def client(host="127.0.0.1", share=False, names=(), takes_runs=True):
    routes = [
        Route("/", lambda _: PlainTextResponse("page"), methods=["GET", "POST"]),
        Route("/login", lambda _: PlainTextResponse("wrong", 400), methods=["POST"]),
    ]
    routes.append(Route("/gradio_api/upload", _length, methods=["POST"]))
    return TestClient(Starlette(routes=routes, **guards(host, share, names, takes_runs)))


async def _length(request):
    return PlainTextResponse(str(len(await request.body())))


@pytest.mark.parametrize(
    ("host", "asked", "status"),
    [
        ("127.0.0.1", "127.0.0.1:7860", 200),
        ("127.0.0.1", "LOCALHOST", 200),
        ("::1", "[::1]:7860", 200),
        ("127.0.0.1", "evil.example", 421),
        ("127.0.0.1", "", 421),
        ("192.168.1.5", "192.168.1.5:7860", 200),
        ("0.0.0.0", "192.0.2.77:7860", 421),
        ("0.0.0.0", "evil.example", 421),
        ("0.0.0.0", min(own_names()), 200),
        ("0.0.0.0", "fox.example", 200),
        ("0.0.0.0", "x.gradio.live", 421),
    ],
)
def test_only_names_of_this_machine_and_of_the_owner_are_answered(host, asked, status):
    asked = f"[{asked}]" if asked.count(":") > 1 and "[" not in asked else asked
    answer = client(host, names=["Fox.example"]).get("/", headers={"Host": asked})
    assert answer.status_code == status
    assert status == 200 or "--allowed-host NAME" in answer.text


def test_a_public_link_has_a_name_of_its_own():
    public = client(share=True)
    headers = {"Host": "abc.gradio.live", "Origin": "https://abc.gradio.live"}
    assert public.post("/", headers=headers).status_code == 200
    headers["Origin"] = "https://evil.gradio.live"
    assert public.post("/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:7860", 200),
        ("https://fox.example", 200),
        ("http://localhost:8888", 403),
        ("http://evil.example", 403),
        ("http://[", 403),
        ("null", 403),
    ],
)
def test_only_the_page_itself_may_send(origin, status):
    headers = {"Host": "localhost:7860", "Origin": origin}
    assert client(names=["fox.example"]).post("/", headers=headers).status_code == status


def test_a_body_is_small_and_says_its_length():
    local = client("testserver")
    assert local.post("/", content=b"x" * 1000).status_code == 200
    assert local.post("/", content=b"x" * (LARGEST_BODY + 1)).status_code == 413
    assert local.post("/", content=iter([b"x"])).status_code == 411


@pytest.mark.parametrize(
    ("path", "name", "begins", "takes_runs", "status"),
    [
        ("/gradio_api/upload", "run.zip", b"PK\x03\x04", True, 200),
        ("/gradio_api/upload", "RUN.ZIP", b"PK\x03\x04", True, 200),
        ("/gradio_api/upload", "run.zip", b"PK\x03\x04", False, 413),
        ("/gradio_api/upload", "run.txt", b"PK\x03\x04", True, 413),
        ("/gradio_api/upload", "run.zip.txt", b"PK\x03\x04", True, 413),
        ("/gradio_api/upload", "run.zip", b"Once", True, 413),
        ("/", "run.zip", b"PK\x03\x04", True, 413),
    ],
)
def test_only_what_may_be_a_run_is_large(path, name, begins, takes_runs, status):
    content = begins + bytes(LARGEST_BODY)
    local = client("testserver", takes_runs=takes_runs)
    answer = local.post(path, files={"files": (name, content)})
    assert answer.status_code == status
    if status == 200:
        assert int(answer.text) > len(content), "nothing of it is lost"


def test_a_run_is_not_endless():
    headers = {"Content-Length": str(LARGEST_RUN + 1)}
    answer = client("testserver").post("/gradio_api/upload", content=b"x", headers=headers)
    assert answer.status_code == 413
    assert "an exported run 1000 MB" in answer.text


def test_passwords_cannot_be_guessed_for_long():
    local = client("testserver")
    codes = [local.post("/login").status_code for _ in range(LOGINS + 1)]
    assert codes == [400] * LOGINS + [429]
    assert local.get("/").status_code == 200


def test_users_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    (tmp_path / "users").write_text(PAIRS)
    monkeypatch.setenv(VARIABLE, "eve:eve-and-adam,mia:mia-and-adam")
    users, others = Users.read(str(tmp_path / "users")), Users.read(None)
    assert users.may_enter("ada", "lantern-and-fox")
    assert users.may_enter("bob", "fox:and:lantern")
    for name, password in (("ada", ""), ("ada", "fox:and:lantern"), ("eve", "lantern-and-fox")):
        assert not users.may_enter(name, password)
    assert others.may_enter("mia", "mia-and-adam")
    assert users.color("ada") != users.color("bob")
    monkeypatch.delenv(VARIABLE)
    assert Users.read(None) is None


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "There are no users"),
        ("secret-password", "Line 1 .* is not of the form NAME:PASSWORD"),
        ("ada:short", "password of ada is too short"),
        ("<b>:lantern-and-fox", "cannot be a user's name"),
        ("ada:lantern-and-fox\nada:fox-and-lantern", "two users named 'ada'"),
    ],
)
def test_users_that_cannot_be_are_refused(tmp_path, lines, says):
    (tmp_path / "users").write_text(lines)
    with pytest.raises(ValueError, match=says) as error:
        Users.read(str(tmp_path / "users"))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "0.0.0.0"], "--auth FILE, .* or --no-auth if everyone"),
        (["--host", "fox.example"], "--host fox.example lets others in"),
        (["--share"], "--share lets others in"),
        (["--auth", "ada:lantern-and-fox"], "can be seen by everybody on this machine"),
        (["--auth", "no/such/file"], "No such file"),
        (["--data-root", "no/such/folder"], "There is no folder .*--data-root"),
        (["--no-auth", "--share", "--data-root", "."], "read each other's uploaded texts"),
    ],
)
def test_the_command_line_lets_nobody_in_by_mistake(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(SystemExit):
        read_options(arguments)
    assert re.search(says, " ".join(capsys.readouterr().err.split()))


def test_what_may_be_read_depends_on_who_can_come(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "users").write_text(PAIRS)
    (tmp_path / "texts").mkdir()
    assert read_options([]).roots.folders == [tmp_path]
    assert read_options(["--host", "0.0.0.0", "--no-auth"]).roots.folders == []
    assert read_options(["--auth", "users"]).roots.folders == []
    named = read_options(["--share", "--auth", "users", "--data-root", "texts", "--no-hub"])
    assert named.roots.folders == [tmp_path / "texts"]
    assert not named.hub.allowed

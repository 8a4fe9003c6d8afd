"""A visitor of the page who speaks plain HTTP, as an attacker may."""

import json
import uuid
from typing import Any

import httpx

from app.main import build_page, launch
from app.options import Options
from tests.browsing import free_port


class Served:
    """The page, served by this process.

    Args:
        options: How it is served; the port is a free one.
    """

    def __init__(self, **options: Any) -> None:
        given = {"host": "127.0.0.1", "share": False, "names": []} | options
        self.options = Options(port=free_port(), **given)
        self.blocks = build_page(self.options)
        launch(self.blocks, self.options, quiet=True)
        self.url = f"http://127.0.0.1:{self.options.port}"

    def visitor(self, *login: str) -> "Visitor":
        """Somebody with a session of their own.

        Args:
            login: Name and password; without them nobody logs in.
        """
        return Visitor(self.url, *login)


class Visitor:
    """One session: what a browser sends, without the browser."""

    def __init__(self, url: str, *login: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)
        if login:
            form = dict(zip(("username", "password"), login, strict=True))
            self.http.post("/login", data=form).raise_for_status()
        self.session = uuid.uuid4().hex

    def config(self) -> dict[str, Any]:
        return self.http.get("/config").raise_for_status().json()

    def form(self, elem_id: str, event: str = "click") -> tuple[dict[str, Any], list[Any]]:
        """What an element's event calls, and the values at first of what it is given."""
        config = self.config()
        components = {component["id"]: component for component in config["components"]}
        for called in config["dependencies"]:
            for target, name in called["targets"]:
                props = components.get(target, {}).get("props", {})
                if props.get("elem_id") == elem_id and name == event:
                    given = [components[i]["props"] for i in called["inputs"]]
                    return called, [props.get("value") for props in given]
        raise LookupError(f"nothing is called by {event} of {elem_id}")

    def press(self, elem_id: str, *data: Any, event: str = "click") -> tuple[Any, list[str]]:
        """What an event answers, and the warnings that it shows.

        Args:
            elem_id: Id of the element.
            data: What is sent; the values at first follow.
            event: Name of the event.
        """
        called, values = self.form(elem_id, event)
        return self.call(called["id"], [*data, *values[len(data) :]])

    def call(self, fn_index: int, data: list[Any]) -> tuple[Any, list[str]]:
        """What a function of the page answers, and the warnings that it shows."""
        body = {"data": data, "fn_index": fn_index, "session_hash": self.session}
        self.http.post("/gradio_api/queue/join", json=body).raise_for_status()
        told = []
        address = f"/gradio_api/queue/data?session_hash={self.session}"
        with self.http.stream("GET", address) as lines:
            for line in lines.iter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "log":
                    told.append(message["log"])
                if message.get("msg") == "process_completed":
                    return message["output"].get("data"), told
        raise EOFError("the page closed the stream")

    def ask(self, api_name: str, *data: Any) -> Any:
        """What a named endpoint answers, as a program asks it.

        Raises:
            PermissionError: It refuses; with its words.
        """
        base = f"/gradio_api/call/{api_name}"
        event = self.http.post(base, json={"data": data}).raise_for_status().json()["event_id"]
        answer = self.http.get(f"{base}/{event}").text
        kind, _, rest = answer.rpartition("event: ")[2].partition("\n")
        found = json.loads(rest.partition("data: ")[2])
        if kind.strip() == "error":
            raise PermissionError(found["error"] if isinstance(found, dict) else found)
        return found[0]

    def upload(self, name: str, content: bytes, **headers: str) -> httpx.Response:
        """Upload a file."""
        files = {"files": (name, content)}
        return self.http.post("/gradio_api/upload", files=files, headers=headers)

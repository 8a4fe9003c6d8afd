"""Who may talk to the page, and how much it takes in: the middleware in front of Gradio.

Under another name than its own, a page could be read by any web site whose name is pointed at this
machine (DNS rebinding); with another origin, a web site could press its buttons.
"""

import ipaddress
import re
import socket
import time
from collections import deque
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import psutil
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
EVERYWHERE = frozenset({"0.0.0.0", "::", ""})
"""Addresses that listen on every network of the machine."""
_NETWORKS = (socket.AF_INET, socket.AF_INET6)
SHARED = ".gradio.live"
"""End of the names that public links have."""
LARGEST_UPLOAD = 5_000_000
"""Bytes of a text that a visitor uploads."""
LARGEST_BODY = LARGEST_UPLOAD + 100_000
"""Bytes of a request: an upload with what multipart forms add to it."""
LARGEST_RUN = 1_000_000_000
"""Bytes of an exported run that a visitor uploads."""
_UPLOADS = "/gradio_api/upload"
_PEEKED = 4096
"""Bytes of a large body that tell what it is."""
_ZIP_NAME = re.compile(rb'filename="[^"\r\n]+\.zip"', re.IGNORECASE)
_ZIP_BEGINS = b"PK\x03\x04"
LOGINS, LOGINS_WITHIN = 10, 60.0
"""Failed logins from one address, and the seconds in which they count."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on an address.

    Args:
        host: An address, or a name.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_names() -> set[str]:
    """The names and addresses under which other machines of the network know this one."""
    cards = psutil.net_if_addrs().values()
    found = {place.address for card in cards for place in card if place.family in _NETWORKS}
    name = socket.gethostname().lower()
    return {address.partition("%")[0].lower() for address in found} | {name, f"{name}.local"}


class KnownNames:
    """Refuses requests under a foreign name (421) and from pages of other origins (403).

    Args:
        app: The application behind it.
        host: Address that the page listens on.
        share: Whether there is a public link too.
        named: Names that the owner of the page allows in addition.
    """

    def __init__(
        self, app: ASGIApp, host: str, share: bool = False, named: Collection[str] = ()
    ) -> None:
        self.app, self.share = app, share
        self.named = {name.lower() for name in named}
        self.names = {*LOOPBACK, *self.named, host.lower()} - EVERYWHERE
        self.outside = not is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused; pass on everything else."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            name = _name(f"//{host}")
            refusal = None
            if not self._knows(name):
                refusal = PlainTextResponse(
                    f"This page does not answer under the name {name[:100]!r}. If the name is "
                    "yours, start the page with --allowed-host NAME.",
                    421,
                )
            elif origin is not None and not self._same(origin, host):
                refusal = PlainTextResponse(
                    "Another web site sent this request: open the page itself. If the page is "
                    "embedded there on purpose, start it with --allowed-host NAME.",
                    403,
                )
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _knows(self, name: str) -> bool:
        if name in self.names or (self.share and name.endswith(SHARED)):
            return True
        # Looked up again: a laptop that joins a network gets another address.
        return self.outside and name in own_names()

    def _same(self, origin: str, host: str) -> bool:
        """Whether a request comes from the page, or from a site that its owner has named."""
        own = origin.partition("://")[2].lower() == host.lower()
        return own or _name(origin) in self.named


def _name(address: str) -> str:
    """The name in an address, without its port; "" if it has none."""
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


class SmallBodies:
    """Refuses requests that are too large, or do not say how large they are, before reading them.

    An upload may be larger if it begins as a zip file does: it may be an exported run.

    Args:
        app: The application behind it.
        most: Bytes of the largest body.
        run: Bytes of the largest zip file; 0 where none is taken.
    """

    def __init__(self, app: ASGIApp, most: int = LARGEST_BODY, run: int = LARGEST_RUN) -> None:
        self.app, self.most, self.run = app, most, run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused; pass on everything else."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            length, refusal = headers.get("content-length", "0"), None
            if "transfer-encoding" in headers:
                refusal = PlainTextResponse("The request must say its length.", 411)
            elif length.isdecimal() and self._may_be_run(scope, int(length)):
                first, receive = await _peek(receive)
                if not _is_zip(first):
                    refusal = self._too_large()
            elif not length.isdecimal() or int(length) > self.most:
                refusal = self._too_large()
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _may_be_run(self, scope: Scope, length: int) -> bool:
        """Whether a body that is too large for anything else has the right place and size."""
        upload = scope["method"] == "POST" and scope["path"].rstrip("/").endswith(_UPLOADS)
        return upload and self.most < length <= self.run

    def _too_large(self) -> PlainTextResponse:
        text, run = LARGEST_UPLOAD // 1_000_000, self.run // 1_000_000
        runs = f", and an exported run {run} MB" if run else ""
        return PlainTextResponse(
            f"This is more than the page takes: a text may have {text} MB{runs}.", 413
        )


async def _peek(receive: Receive) -> tuple[bytes, Receive]:
    """The first bytes of a body, and what receives all of it."""
    messages: deque[Message] = deque()
    first = b""
    while len(first) < _PEEKED:
        messages.append(await receive())
        first += messages[-1].get("body", b"")
        if not messages[-1].get("more_body", False):
            break

    async def again() -> Message:
        return messages.popleft() if messages else await receive()

    return first, again


def _is_zip(first: bytes) -> bool:
    """Whether a form begins with a zip file, by its name and its content."""
    head, _, content = first.partition(b"\r\n\r\n")
    return _ZIP_NAME.search(head) is not None and content.startswith(_ZIP_BEGINS)


class SlowLogins:
    """Refuses more logins (429) from an address that has failed too often.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._failed: dict[str, deque[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a login that is refused; count those that fail."""
        if scope["type"] != "http" or scope["path"].rstrip("/") != "/login":
            await self.app(scope, receive, send)
            return
        address = (scope.get("client") or ("",))[0]
        if self._recent(address) >= LOGINS:
            refusal = PlainTextResponse("Too many failed logins: wait a minute.", 429)
            await refusal(scope, receive, send)
            return

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                self._failed.setdefault(address, deque()).append(time.monotonic())
            await send(message)

        await self.app(scope, receive, count)

    def _recent(self, address: str) -> int:
        since = time.monotonic() - LOGINS_WITHIN
        for known, times in list(self._failed.items()):
            while times and times[0] < since:
                times.popleft()
            if not times:
                del self._failed[known]
        return len(self._failed.get(address, ()))


def guards(
    host: str, share: bool, named: Collection[str] = (), takes_runs: bool = True
) -> dict[str, Any]:
    """Arguments of the web application that keep strangers out.

    Args:
        host: Address that the page listens on.
        share: Whether there is a public link too.
        named: Names that the owner of the page allows in addition.
        takes_runs: Whether visitors may upload exported runs.
    """
    return {
        "middleware": [
            Middleware(KnownNames, host=host, share=share, named=named),
            Middleware(SmallBodies, run=LARGEST_RUN if takes_runs else 0),
            Middleware(SlowLogins),
        ]
    }

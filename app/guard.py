"""Who may talk to the page, and what it takes in: nothing from other sites, and no files."""

from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

EVERYWHERE = {"0.0.0.0", "::", ""}
"""Addresses that listen on every network of the machine, under names that nobody can list."""


class NoUploads:
    """Closes Gradio's route for uploads: no part of the page takes files.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an upload with 403 before its body is read; pass on everything else."""
        if scope["type"] == "http" and scope["path"].rstrip("/").endswith("/upload"):
            await PlainTextResponse("This page takes no files.", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def guards(host: str, share: bool) -> dict[str, Any]:
    """Arguments of the web application that keep strangers out.

    A page on this machine answers only to this machine's names. Otherwise a web site whose name
    points at 127.0.0.1 would count as the page itself (DNS rebinding).

    Args:
        host: Address that the page listens on.
        share: Whether there is a public link too.
    """
    names = ["*"]
    if host not in EVERYWHERE:
        names = ["127.0.0.1", "localhost", "[::1]", host]
        names += ["*.gradio.live"] if share else []
    return {
        "middleware": [
            Middleware(TrustedHostMiddleware, allowed_hosts=names),
            Middleware(NoUploads),
        ]
    }

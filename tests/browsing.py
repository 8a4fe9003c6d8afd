"""A real browser for the tests that look at what readers see."""

import os
import shutil
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
PATIENCE = 180_000
"""Milliseconds that a test waits for what must come, on a machine that does much else."""
# Without most of these Chromium calls home, and waits where there is no network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"), reason="needs chromium on the PATH"
    ),
]
"""The marks of a module whose tests drive a browser."""
THEIRS = [[".toast-body"], [".examples"]]
"""Parts of Gradio's components, whose markup is not ours: messages, and a chat's examples."""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_server(process: Popen, url: str) -> None:
    """Wait until a server that was started answers."""
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        assert process.poll() is None, "the server ended by itself"
        assert time.monotonic() < deadline, "the server did not answer"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)


def barriers(page: "Page") -> list[str]:
    """What keeps people from using a page as it is now: serious and critical findings of axe-core.

    Args:
        page: The page.
    """
    from axe_playwright_python.sync_playwright import Axe

    return [
        f"{found['id']}: {node['target']} {node['html'][:120]}"
        for found in Axe().run(page, {"exclude": THEIRS}).response["violations"]
        if found["impact"] in {"serious", "critical"}
        for node in found["nodes"]
    ]

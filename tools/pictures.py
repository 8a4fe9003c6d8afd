"""Take the pictures of the page that the README shows: `python -m tools.pictures`.

The page is started on a folder of runs of its own; the animation is a search of the damaged twins,
replayed by the diagram. It needs Chromium and the extra `test`.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

ASSETS = Path(__file__).parents[1] / "assets"
PORT = 7933
URL = f"http://127.0.0.1:{PORT}/?__theme=light"
PATIENCE = 300_000
FRAMES, FRAME_MS, LAST_MS = 36, 110, 2500
COLORS = 64


def main() -> None:
    """Take all pictures."""
    chromium = shutil.which("chromium") or shutil.which("chrome")
    with _page_served(), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.add_init_script("localStorage.setItem('manticore-walk', 'seen')")
        page.goto(URL)
        page.locator("#diagram .now", has_text="perplexity as found").wait_for()
        page.locator("#diagram .words").wait_for()
        page.wait_for_timeout(1500)
        page.screenshot(path=ASSETS / "page.png")
        _search(page)
        _animate(page, ASSETS / "search.gif")
        browser.close()


def _search(page: Any) -> None:
    """Search the damaged twins and wait for the end."""
    page.get_by_role("tab", name="Build and search").click()
    page.get_by_role("button", name="Damaged twins").click()
    page.locator("#asked", has_text="Two copies").wait_for()
    page.locator("#start").click()
    page.wait_for_url("**run=2*")
    page.locator('.status[data-state="done"]').wait_for()
    page.locator("#diagram .now", has_text="perplexity as found").wait_for()
    page.wait_for_timeout(1500)


def _animate(page: Any, file: Path) -> None:
    """The diagram at the moments of the search, one after the other."""
    scrub = page.locator("#diagram .timeline input")
    last = int(scrub.get_attribute("max"))
    frames = []
    for i in range(FRAMES):
        moment = round(i * last / (FRAMES - 1))
        scrub.evaluate(
            "(input, at) => { input.value = at; input.dispatchEvent(new Event('input')); }", moment
        )
        page.wait_for_timeout(400)
        shot = page.locator("#diagram").screenshot()
        frames.append(Image.open(io.BytesIO(shot)).convert("RGB"))
    palette = frames[-1].quantize(COLORS)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [FRAME_MS] * (FRAMES - 1) + [LAST_MS]
    drawn[0].save(
        file, save_all=True, append_images=drawn[1:], duration=durations, loop=0, optimize=True
    )


@contextmanager
def _page_served() -> Iterator[None]:
    """The page, until the pictures are taken."""
    with tempfile.TemporaryDirectory() as root:
        app = subprocess.Popen(
            [sys.executable, "-m", "app.main", "--port", str(PORT), "--runs-root", root],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            while True:
                try:
                    urllib.request.urlopen(URL, timeout=5).close()
                    break
                except OSError:
                    if app.poll() is not None:
                        raise RuntimeError("The page ended by itself.") from None
                    time.sleep(0.3)
            yield
        finally:
            app.terminate()
            app.wait()


if __name__ == "__main__":
    main()

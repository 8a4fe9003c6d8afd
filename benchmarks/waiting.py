"""How long does one wait: for a command, an import, the page, a hybrid, the first word of a chat?

Each in processes of their own, medians of five, in seconds of the wall, on an otherwise idle
machine. What `import manticore.hybrid` takes is counted from where torch and Transformers are
imported; Transformers' own models, which it stands on, are named apart. Hybrids are built with the
files read before, as every second time.

    python -m benchmarks.waiting
"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.harness import save_results

REPEATS = 5
COMMAND = str(Path(sys.executable).with_name("manticore"))
IMPORTS = """
import time, torch, transformers
start = time.perf_counter()
from transformers import GenerationMixin, PreTrainedModel
theirs = time.perf_counter()
import manticore.hybrid
print(theirs - start, time.perf_counter() - theirs)
"""
HYBRID = """
import time, manticore as mc
from manticore.hybrid.streaming import stream
pair = ["zoo:tales-neox", "zoo:tales-mamba"]
mc.build_hybrid(pair, 4)
start = time.perf_counter()
hybrid = mc.build_hybrid(pair, 4)
built = time.perf_counter()
options = {"max_new_tokens": 8, "temperature": 0.7, "top_p": 0.9, "seed": 0}
list(stream(hybrid, "Once upon a time there was a fox", **options))
asked = time.perf_counter()
next(stream(hybrid, "The king of the forest was old, and", **options))
print(built - start, time.perf_counter() - asked)
"""


def main() -> None:
    """Measure, print and save."""
    theirs, ours = _medians(lambda: _told(IMPORTS))
    built, first_token = _medians(lambda: _told(HYBRID))
    (help_,) = _medians(_help)
    (page,) = _medians(_page)
    found = {
        "manticore --help": help_,
        "import manticore.hybrid, after torch and transformers": theirs + ours,
        "of it, Transformers' own models": theirs,
        "build_hybrid, a bundled pair": built,
        "first token of a chat with a loaded hybrid": first_token,
        "page answers after the command": page,
    }
    found = {name: float(f"{value:.3g}") for name, value in found.items()}
    for name, value in found.items():
        print(f"{name:60} {value}")
    print(save_results("waiting", {"setup": {"repeats": REPEATS}, "seconds": found}))


def _medians(measure: Callable[[], list[float]]) -> list[float]:
    measure()  # files that are read for the first time
    rows = [measure() for _ in range(REPEATS)]
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def _told(program: str) -> list[float]:
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return [float(number) for number in run.stdout.split()]


def _help() -> list[float]:
    start = time.perf_counter()
    subprocess.run([COMMAND, "--help"], check=True, capture_output=True)
    return [time.perf_counter() - start]


def _page() -> list[float]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as root:
        start = time.perf_counter()
        page = subprocess.Popen(
            [COMMAND, "app", "--port", str(port), "--runs-root", root],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while page.poll() is None:
                with suppress(urllib.error.URLError, ConnectionError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=60).close()
                    return [time.perf_counter() - start]
                time.sleep(0.05)
        finally:
            page.terminate()
            page.wait()
    raise RuntimeError("The page ended before it answered: run `manticore app` to see why.")


if __name__ == "__main__":
    main()

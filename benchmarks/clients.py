"""How the page holds out when several people watch the same runs: time of a look, and memory.

    python -m benchmarks.clients --clients 8 --seconds 120

starts the page in a process of its own, a search, and clients that look once a second as browsers
do, and draw what has changed: half of them at the running search, half at a finished run.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.harness import save_results
from manticore.runs import RunConfig, runs, start_run
from manticore.runs.gallery import gallery_names, open_gallery


class Client(threading.Thread):
    """One reader of the page, who looks at a run once a second.

    Args:
        url: Address of the page.
        run_id: Run that is looked at.
        until: When to end, by `time.monotonic`.
    """

    def __init__(self, url: str, run_id: str, until: float) -> None:
        super().__init__(daemon=True)
        self.http, self.run_id, self.until = httpx.Client(base_url=url, timeout=60), run_id, until
        self.session = uuid.uuid4().hex
        self.looks: list[float] = []
        self.largest = 0

    def run(self) -> None:
        """Look until it is time to end."""
        config = self.http.get("/config").json()
        parts, called = config["components"], config["dependencies"]
        shown = next(part["id"] for part in parts if part["props"].get("elem_id") == "run")
        timers = [p["id"] for p in parts if p["type"] == "timer" and p["props"]["active"]]
        looks = [
            look
            for look in called
            if shown in look["inputs"] and any([t, "tick"] in look["targets"] for t in timers)
        ]
        draws = {
            look["id"]: [d for d in called if [look["outputs"][0], "change"] in d["targets"]]
            for look in looks
        }
        while time.monotonic() < self.until:
            begun = time.monotonic()
            for look in looks:
                if self._call(look, shown):
                    for draw in draws[look["id"]]:
                        self._call(draw, shown)
            self.looks.append(time.monotonic() - begun)
            time.sleep(max(0.0, begun + 1 - time.monotonic()))

    def _call(self, called: dict[str, Any], shown: int) -> bool:
        """Call a function of the page; says whether it has changed a state."""
        data = [self.run_id if part == shown else None for part in called["inputs"]]
        body = {"data": data, "fn_index": called["id"], "session_hash": self.session}
        self.http.post("/gradio_api/queue/join", json=body).raise_for_status()
        address = f"/gradio_api/queue/data?session_hash={self.session}"
        with self.http.stream("GET", address) as lines:
            for line in lines.iter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    self.largest = max(self.largest, len(line))
                    return bool(message["output"].get("changed_state_ids"))
        raise RuntimeError(f"The page did not answer {called['id']}.")


SAMPLED_EVERY = 300.0
"""Seconds between looks at the server's memory."""


def measure(clients: int, seconds: float, root: Path) -> dict[str, Any]:
    """Seconds of a look, bytes of the largest update, and megabytes of the server.

    Args:
        clients: Number of clients.
        seconds: How long they look.
        root: Folder for the runs.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    finished = open_gallery(gallery_names()[0], root)
    config = RunConfig(
        components=("zoo:tales-neox", "zoo:novelas-mamba"),
        n_blocks=4,
        data={"source": "bundled:stories-mixed", "seq_len": 64},
        options={"steps": 10_000, "eval_every": 1000, "checkpoint_every": 1000},
    )
    running = start_run(config, root=root)
    command = ["-m", "app.main", "--port", str(port), "--runs-root", str(root)]
    page = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        while not _answers(url) or not running.mixture_steps.size:
            time.sleep(0.5)
        process = psutil.Process(page.pid)
        before, until = process.memory_info().rss, time.monotonic() + seconds
        readers = [Client(url, (running, finished)[i % 2].id, until) for i in range(clients)]
        for reader in readers:
            reader.start()
        memory = []
        while time.monotonic() < until:
            memory.append(round(process.memory_info().rss / 1e6))
            time.sleep(min(SAMPLED_EVERY, max(0.0, until - time.monotonic())))
        for reader in readers:
            reader.join()
        looks = [look for reader in readers for look in reader.looks]
        return {
            "looks": len(looks),
            "median_s": round(statistics.median(looks), 3),
            "slowest_s": round(max(looks), 3),
            "largest_update_bytes": max(reader.largest for reader in readers),
            "memory_before_mb": round(before / 1e6),
            "memory_after_mb": round(process.memory_info().rss / 1e6),
            "memory_mb": memory,
            "steps_of_the_search": int(running.mixture_steps[-1]),
        }
    finally:
        page.kill()
        for run in runs(root):
            run.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/config", timeout=5).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(given.clients, given.seconds, Path(folder) / "runs")
    print(json.dumps(measured, indent=1))
    print(save_results("clients", {"setup": vars(given), "rows": [measured]}))

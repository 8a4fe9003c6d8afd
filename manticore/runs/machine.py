"""The machine that runs work on, as far as it can be known without importing torch."""

import importlib.metadata
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_PATIENCE = 5.0


@dataclass(frozen=True)
class Machine:
    """Where a run with the device `auto` computes.

    Attributes:
        memory: Bytes of memory: the GPU's where there is one.
        has_gpu: Whether it is a GPU that PyTorch can use.
    """

    memory: float
    has_gpu: bool

    def __str__(self) -> str:
        return "this machine's GPU" if self.has_gpu else "this machine"


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """The machine that this process is on."""
    gpu = _gpu_memory()
    return Machine(gpu, True) if gpu else Machine(_memory(), False)


def _memory() -> float:
    """Bytes of memory that processes may use: a container may have less than its machine."""
    found = [float(psutil.virtual_memory().total)]
    for name in _LIMITS:
        try:
            found.append(float(Path(name).read_text(encoding="ascii")))
        except (OSError, ValueError):  # Not here, or without a limit: "max".
            continue
    return min(found)


def _gpu_memory() -> float | None:
    """Bytes of memory of the first GPU; None if PyTorch has none."""
    if "+cpu" in importlib.metadata.version("torch") or shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
        return float(asked.stdout.splitlines()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return None

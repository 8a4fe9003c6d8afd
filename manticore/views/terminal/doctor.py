"""What is installed, what will be used, and what would be faster."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from manticore.components.zoo import zoo_folder, zoo_names
from manticore.data.cache import cache_root
from manticore.extras import EXTRAS
from manticore.ops import scan_backend
from manticore.runs import runs_root

PACKAGES = ("torch", "transformers", "accelerate", "datasets", "gradio", "plotly", "numba")
_SCAN_ADVICE = {
    "cuda": "Triton (a part of PyTorch for CUDA on Linux) and a C compiler make Mamba faster",
    "cpu": "pip install 'numba>=0.61' makes Mamba many times faster",
}
_LOW_DISK = 2e9


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` is empty where all is well."""

    what: str
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at everything that the workshop needs, on this machine."""
    return list(_findings())


def _findings() -> Iterator[Finding]:
    yield Finding("Python", f"{platform.python_version()} on {platform.system()}")
    for package in PACKAGES:
        yield _package(package)
    cores = os.cpu_count() or 1
    yield Finding("CPU", f"{cores} cores, {torch.get_num_threads()} threads in use")
    yield _scan("cpu")
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        yield Finding("GPU", f"{torch.cuda.get_device_name()}, {memory:.0f} GB")
        yield _scan("cuda")
    else:
        yield Finding("GPU", "none that PyTorch can use; everything runs on the CPU")
    yield _tried("bundled components", _zoo, "reinstall the package, or run from a checkout")
    for name, folder in (("runs", runs_root()), ("token cache", cache_root(None))):
        yield _folder(name, str(folder))


def _package(name: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        extra = f'"manticore-hybrids[{EXTRAS[name]}]"' if name in EXTRAS else name
        return Finding(name, "not installed", f"pip install {extra}")


def _scan(device: str) -> Finding:
    what = f"Mamba's scan on {device}"
    try:
        backend = scan_backend(device)
    except (ValueError, RuntimeError) as error:
        return Finding(what, "none", str(error))
    return Finding(what, backend, _SCAN_ADVICE[device] if backend == "torch" else "")


def _zoo() -> str:
    return f"{', '.join(zoo_names())} in {zoo_folder()}"


def _tried(what: str, look: Callable[[], str], advice: str) -> Finding:
    try:
        return Finding(what, look())
    except OSError as error:
        return Finding(what, str(error), advice)


def _folder(what: str, folder: str) -> Finding:
    there = Path(folder)
    while not there.is_dir():
        there = there.parent
    free = shutil.disk_usage(there).free
    found = f"{folder}, {free / 1e9:.0f} GB free"
    if not os.access(there, os.W_OK):
        return Finding(f"{what} folder", found, f"make {there} writable, or choose another folder")
    advice = (
        "" if free > _LOW_DISK else "free some space: a run of two bundled components takes 300 MB"
    )
    return Finding(f"{what} folder", found, advice)

"""Who computes a scan: compiled kernels where they load, otherwise PyTorch.

Four backends: our own kernels for CUDA (`cuda.kernels`) and for the CPU (`cpu.kernels`),
mamba-ssm's CUDA kernel, and PyTorch operations for everything else (`torch_scan`). mamba-ssm's is
not preferred: its backward pass accumulates in nondeterministic order, so that the same training
need not give the same weights.
"""

import functools
import importlib
import logging
import os
from collections.abc import Callable, Iterator
from types import ModuleType

import torch

from manticore.names import choose
from manticore.ops import torch_scan

logger = logging.getLogger(__name__)

BACKENDS = ("triton", "mamba-ssm", "numba", "torch")
"""In order of preference: on a device, the first that is for it and loads is used."""
BACKEND_VARIABLE = "MANTICORE_SCAN_BACKEND"
_DEVICE_OF_BACKEND = {"mamba-ssm": "cuda", "triton": "cuda", "numba": "cpu"}

_ENGINES = {
    "numba": (
        "manticore.ops.cpu.scan",
        "The compiled selective scan is not available (%s: %s). PyTorch operations are used, which "
        "are many times slower. Install it with: pip install 'numba>=0.61'.",
    ),
    "triton": (
        "manticore.ops.cuda.scan",
        "Triton is not usable (%s: %s). The selective scan on CUDA uses PyTorch operations, which "
        "are many times slower. Install PyTorch for CUDA on Linux, which brings Triton along, and "
        "a C compiler.",
    ),
}
"""Module of each backend that is compiled here, and the notice where it does not load."""


@functools.cache
def _compiled(backend: str) -> ModuleType | None:
    """A compiled backend's engine, or None (with one logged notice) where it does not load."""
    module, notice = _ENGINES[backend]
    try:
        return importlib.import_module(module)
    except Exception as error:  # any failure of a compiler must leave a working scan
        logger.warning(notice, type(error).__name__, error)
        return None


@functools.cache
def mamba_ssm_scan() -> Callable | None:
    """mamba-ssm's kernel; None where it is not installed or (with one logged notice) broken."""
    try:
        return importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    except Exception as error:  # a broken build of a CUDA extension raises nearly anything
        if not (isinstance(error, ModuleNotFoundError) and error.name == "mamba_ssm"):
            logger.warning(
                "mamba-ssm is installed but does not load (%s: %s), and is not used. Build it "
                "again with: pip install --no-build-isolation --force-reinstall mamba-ssm.",
                type(error).__name__,
                error,
            )
        return None


def _is_available(backend: str) -> bool:
    """Whether a backend's code loads here."""
    if backend == "mamba-ssm":
        return mamba_ssm_scan() is not None
    return backend == "torch" or _compiled(backend) is not None


def checked_backend(name: str, device_type: str, source: str) -> str:
    """A backend that was chosen by name.

    Args:
        name: Name of the backend.
        device_type: Type of the tensors' device, such as "cuda".
        source: Where the name comes from, for errors.

    Raises:
        ValueError: The name is unknown, or is that of a backend for another device.
        RuntimeError: The backend is not installed.
    """
    choose(name, BACKENDS, f"scan backend in {source}:")
    needed = _DEVICE_OF_BACKEND.get(name, device_type)
    if needed != device_type:
        raise ValueError(
            f"{source}={name!r} works on {needed} tensors only, and these are on {device_type}. "
            "Move them or choose 'torch'."
        )
    if not _is_available(name):
        raise RuntimeError(
            f"{source}={name!r} is not installed or does not load here. Install it, or choose "
            "'torch'."
        )
    return name


def scan_backend(device: torch.device | str) -> str:
    """Name of the backend that a scan on a device uses, one of `BACKENDS`.

    The environment variable MANTICORE_SCAN_BACKEND forces one. Calls that a backend has no code
    for use another: "torch" in float64; "triton" instead of mamba-ssm for an initial state, or for
    gradients where the last state is returned.

    Args:
        device: Device of the tensors.

    Raises:
        ValueError: The forced name is unknown, or is that of a backend for another device.
        RuntimeError: The forced backend is not installed.
    """
    device_type = torch.device(device).type
    forced = os.environ.get(BACKEND_VARIABLE)
    if forced:
        return checked_backend(forced, device_type, BACKEND_VARIABLE)
    return next(usable_backends(device_type))


def usable_backends(device: torch.device | str) -> Iterator[str]:
    """Names of the backends that load and are for a device, the preferred one first."""
    device_type = torch.device(device).type
    for backend in BACKENDS:
        if _DEVICE_OF_BACKEND.get(backend, device_type) == device_type and _is_available(backend):
            yield backend


def engine_of(backend: str) -> ModuleType:
    """The engine of a backend in float32; for mamba-ssm, that of what its kernel cannot do.

    Args:
        backend: One of `BACKENDS`.

    Returns:
        A module with the functions `forward` and `backward` of `torch_scan`.
    """
    if backend == "torch":
        return torch_scan
    return _compiled("triton" if backend == "mamba-ssm" else backend) or torch_scan

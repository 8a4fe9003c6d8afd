"""Which device a run works on."""

import os

import torch

_CHOSEN = "ACCELERATE_TORCH_DEVICE"
"""Where accelerate looks for the device."""


def find_device(name: str) -> torch.device:
    """The device of a name, if this machine has it.

    Args:
        name: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ValueError: The name is not one of these, or this machine has no such device.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    n_devices = torch.cuda.device_count()
    there = ["auto", "cpu", *(["cuda"] if n_devices else [])]
    there += [f"cuda:{index}" for index in range(n_devices)]
    remedy = f"choose one of {', '.join(there)}."
    try:
        device = torch.device("cuda" if name == "auto" else name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{name!r} is not a device: {remedy}") from error
    if device.type != "cuda":
        raise ValueError(f"{name!r} is not a device that runs can use: {remedy}")
    if (device.index or 0) >= n_devices:
        raise ValueError(f"There is no device {name!r} on this machine: {remedy}")
    return device


def use_device(name: str) -> torch.device:
    """The device that a run's configuration asks for; accelerate will use the same.

    Args:
        name: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ValueError: The name is not one of these, or this machine has no such device.
    """
    # What an earlier call has chosen is not for this one.
    os.environ.pop(_CHOSEN, None)
    device = find_device(name)
    if device.index is not None:
        torch.cuda.set_device(device)
        os.environ[_CHOSEN] = str(device)
    return device

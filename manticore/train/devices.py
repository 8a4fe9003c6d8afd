"""Which device a run works on."""

import os

import torch

_CHOSEN = "ACCELERATE_TORCH_DEVICE"
"""Where accelerate looks for the device."""


def use_device(name: str) -> torch.device:
    """The device that a run's configuration asks for; accelerate will use the same.

    Args:
        name: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ValueError: No such device on this machine.
    """
    # What an earlier call has chosen is not for this one.
    os.environ.pop(_CHOSEN, None)
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    n_devices = torch.cuda.device_count()
    absent = f"There is no device '{name}' here ({n_devices} CUDA devices): choose auto or cpu."
    try:
        device = torch.device("cuda" if name == "auto" else name)
    except RuntimeError as error:
        raise ValueError(absent) from error
    if device.type != "cuda" or (device.index or 0) >= n_devices:
        raise ValueError(absent)
    if device.index is not None:
        torch.cuda.set_device(device)
        os.environ[_CHOSEN] = str(device)
    return device

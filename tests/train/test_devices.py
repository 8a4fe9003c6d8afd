"""The device that a run works on is the one that it asks for."""

import os

import pytest
import torch

from manticore.train.devices import use_device


@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_what_an_earlier_run_chose_is_forgotten(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert use_device(name) == torch.device("cpu")
    assert "ACCELERATE_TORCH_DEVICE" not in os.environ


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cuda:64", "There is no device 'cuda:64' on this machine"),
        ("float32", "'float32' is not a device"),
        ("", "'' is not a device"),
        ("mps", "'mps' is not a device that runs can use"),
    ],
)
def test_a_device_that_is_not_there_is_refused(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"{says}.*: choose one of auto, cpu"):
        use_device(name)

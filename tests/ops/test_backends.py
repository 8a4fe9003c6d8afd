"""Who computes a scan: the best backend that loads, or the one that is chosen."""

import subprocess
import sys

import pytest
import torch

from manticore.ops import scan_backend, usable_backends


def test_backend_choice(monkeypatch):
    monkeypatch.delenv("MANTICORE_SCAN_BACKEND", raising=False)
    assert scan_backend("cpu") == "numba"
    assert [*usable_backends("cpu")] == ["numba", "torch"]
    assert scan_backend("meta") == "torch"
    monkeypatch.setenv("MANTICORE_SCAN_BACKEND", "torch")
    assert scan_backend(torch.device("cpu")) == "torch"
    monkeypatch.setenv("MANTICORE_SCAN_BACKEND", "nubma")
    with pytest.raises(ValueError, match=r"nubma.*numba, torch"):
        scan_backend("cpu")
    monkeypatch.setenv("MANTICORE_SCAN_BACKEND", "mamba-ssm")
    with pytest.raises(ValueError, match="works on cuda"):
        scan_backend("cpu")


def test_without_compilers_one_notice_and_the_torch_path():
    """In a process of its own, where importing Numba or Triton fails."""
    code = """
import logging, sys
logging.basicConfig(stream=sys.stdout)
sys.modules["numba"] = sys.modules["triton"] = None
import torch
from manticore.ops import scan_backend, selective_scan
x = torch.randn(1, 2, 3)
selective_scan(x, x, -torch.ones(2, 2), torch.randn(1, 2, 3), torch.randn(1, 2, 3))
print(scan_backend("cpu"), scan_backend("cuda"), scan_backend("cuda"))
try:
    selective_scan(x, x, -torch.ones(2, 2), torch.randn(1, 2, 3), torch.randn(1, 2, 3),
                   backend="numba")
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.count("compiled selective scan is not available") == 1
    assert done.stdout.count("Triton is not usable") == 1
    assert "\ntorch torch torch\n" in done.stdout
    assert "not installed" in done.stdout

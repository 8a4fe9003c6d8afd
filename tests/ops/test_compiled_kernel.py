"""Compiled kernels are kept on disk, and found there only while no source has changed."""

import importlib
import shutil
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from manticore.ops.cpu import compiled_kernel, kernels, recurrence
from manticore.ops.cpu.compiled_kernel import SOURCE, source_digest

MODULES = sorted(
    file.name
    for file in resources.files("manticore.ops.cpu").iterdir()
    if file.name.endswith(".py")
)


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package's source."""
    with resources.as_file(resources.files("manticore.ops.cpu")) as folder:
        return Path(shutil.copytree(folder, tmp_path / "cpu"))


def test_a_copy_has_the_digest_of_the_package(package):
    assert source_digest(package) == SOURCE


@pytest.mark.parametrize("module", MODULES)
def test_an_edit_of_any_module_changes_the_digest(package, module):
    file = package / module
    file.write_text(file.read_text().replace("a", "b", 1))
    assert source_digest(package) != SOURCE


def test_the_modules_hold_what_is_compiled():
    assert {"simd.py", "kernels.py", "recurrence.py", "compiled_kernel.py"} <= set(MODULES)


@pytest.mark.parametrize(
    "kernel",
    [
        kernels.scan_forward,
        kernels.scan_backward,
        recurrence._forward_kernel,
        recurrence._backward_kernel,
    ],
)
def test_machine_code_is_kept_under_the_digest(kernel):
    folder = kernel.stats.cache_path
    if folder is None:
        pytest.skip("Numba has no folder to write to")
    assert list(Path(folder).glob(f"*.{kernel.py_func.__name__}_{SOURCE}-*.nbi"))


PART = """
from numba import njit

@njit
def step():
    return {step}.0
"""
KERNEL = """
from edited.part import step
from manticore.ops.cpu.compiled_kernel import MATRIX, compiled_kernel

@compiled_kernel(MATRIX)
def kernel(matrix):
    matrix[0, 0] = step()
"""


def test_machine_code_of_an_older_edition_is_not_used(tmp_path, monkeypatch):
    """A kernel's own file stays as it is; what it is made of is edited in another."""
    folder = tmp_path / "edited"
    folder.mkdir()
    (folder / "kernel.py").write_text(KERNEL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    seen = []
    for step in (1, 1, 2):
        (folder / "part.py").write_text(PART.format(step=step))
        monkeypatch.setattr(compiled_kernel, "SOURCE", source_digest(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "edited"]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        kernel = importlib.import_module("edited.kernel").kernel
        result = np.zeros((1, 1), np.float32)
        kernel(result)
        seen.append((result.item(), sum(kernel.stats.cache_hits.values())))
    assert seen == [(1.0, 0), (1.0, 1), (2.0, 0)]

"""How the compiled kernels are compiled and kept, and the array types they share.

Numba keeps machine code on disk under a function's name, and compiles again when the function's own
file has changed. A kernel is also made of functions from other files, so its name here carries a
digest of the source of all modules in this package: no edit finds old machine code.
"""

import hashlib
from collections.abc import Callable
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from numba import njit, types

STRIDED = types.Array(types.float32, 3, "A")
MATRIX = types.Array(types.float32, 2, "C")
CUBE = types.Array(types.float32, 3, "C")
TESSERACT = types.Array(types.float32, 4, "C")
FLAG = types.boolean
INDEX = types.intp


def source_digest(package: Traversable) -> str:
    """A digest of the names and the source of all modules in a package's folder."""
    digest = hashlib.sha256()
    for file in sorted(package.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


SOURCE = source_digest(resources.files("manticore.ops.cpu"))


def compiled_kernel(*argument_types: types.Type) -> Callable[[Callable], Callable]:
    """Decorator: compile now, for these argument types, and release the interpreter lock in calls.

    The machine code is kept, as by `njit_kept`.

    Args:
        argument_types: Numba types of the kernel's arguments; it returns nothing.
    """
    signature = types.void(*argument_types)

    def compile_kernel(function: Callable) -> Callable:
        function.__qualname__ += f"_{SOURCE}"
        return njit_kept(signature, nogil=True)(function)

    return compile_kernel


def njit_kept(*arguments: Any, **options: Any) -> Callable[[Callable], Callable]:
    """Decorator: `numba.njit`, with machine code on disk where Numba may write to a folder.

    Args:
        arguments: Arguments of `njit`.
        options: Options of it.
    """

    def decorate(function: Callable) -> Callable:
        try:
            return njit(*arguments, cache=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return njit(*arguments, **options)(function)

    return decorate

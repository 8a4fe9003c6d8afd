"""How the compiled kernels are compiled, and the array types they share."""

from collections.abc import Callable

from numba import njit, types
from numba.core.typing import Signature

STRIDED = types.Array(types.float32, 3, "A")
MATRIX = types.Array(types.float32, 2, "C")
CUBE = types.Array(types.float32, 3, "C")
TESSERACT = types.Array(types.float32, 4, "C")
FLAG = types.boolean
INDEX = types.intp


def compiled_kernel(*argument_types: types.Type) -> Callable[[Callable], Callable]:
    """Decorator: compile now, for these argument types, and release the interpreter lock in calls.

    The machine code is kept on disk where Numba finds a folder that it may write to.
    """
    signature: Signature = types.void(*argument_types)

    def compile_kernel(function: Callable) -> Callable:
        try:
            return njit(signature, nogil=True, cache=True)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return njit(signature, nogil=True)(function)

    return compile_kernel

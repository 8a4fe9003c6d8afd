"""A disk that takes no more, recognized whoever meets it and reported in the same words."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_QUOTED = [
    *(f"os error {code}" for code in _FULL),  # safetensors quotes the system's error
    "inline_container",  # torch names the file of its writer instead
    "PytorchStreamWriter",
]


class DiskFullError(OSError):
    """There is no room for a file.

    Args:
        path: File or folder that could not be written.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(errno.ENOSPC, "The disk is full", str(path))

    def __str__(self) -> str:
        return (
            f"The disk is full: {self.filename} was not written. Free some space, then try again."
        )


def disk_is_full(error: BaseException | None) -> bool:
    """Whether the system had no room for a write, whichever library asked for it.

    Args:
        error: Any error; what caused it counts too.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        text = str(error)
        if "PytorchStreamReader" not in text and any(sign in text for sign in _QUOTED):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise `DiskFullError` in place of what a library says when `path` finds no room.

    Args:
        path: File or folder that is written inside the context.
    """
    try:
        yield
    except Exception as error:
        if disk_is_full(error) and not isinstance(error, DiskFullError):
            raise DiskFullError(path) from error
        raise

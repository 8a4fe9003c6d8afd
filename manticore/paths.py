"""What a name means wherever it is read: a file, a component, or this package."""

import os
from pathlib import Path

import manticore


def expanded(path: str | os.PathLike[str]) -> Path:
    """`path` with a leading ~ or ~user replaced by that home folder.

    Raises:
        ValueError: There is no such user, or nobody knows the home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{str(path)!r} begins with a home folder that is not known on this machine. "
            "Write the whole path."
        ) from error


def home(variable: str) -> Path:
    """The home folder of this user.

    Args:
        variable: Environment variable that can name a folder instead, for the error.

    Raises:
        ValueError: The home folder is not known.
    """
    try:
        return Path.home()
    except RuntimeError as error:
        raise ValueError(
            f"This user has no home folder. Set {variable} to a folder that can be written to."
        ) from error


def absolute(name: str, base: Path = Path()) -> str:
    """`name` as an absolute path if such a file or folder exists, otherwise unchanged.

    Args:
        name: Name of a component or a text; a data set in a folder may end in `:split`.
        base: Folder that a relative path starts from.

    Raises:
        ValueError: The name begins with an unknown home folder.
    """
    if name.startswith(("zoo:", "bundled:", "scratch:")):
        return name
    for path, colon, split in ((name, "", ""), name.partition(":")):
        try:
            found = base / expanded(path)
            if path and found.exists():
                return f"{found.resolve()}{colon}{split}"
        except OSError:  # too long for the file system, so not a path
            return name
    return name


def worker_environment() -> dict[str, str]:
    """The environment of a worker, which finds the same manticore from any working directory."""
    package_parent = str(Path(manticore.__file__).resolve().parent.parent)
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}

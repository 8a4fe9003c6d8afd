"""What a name means, wherever it is read: of a file, a component, or this package."""

import os
from pathlib import Path

import manticore


def absolute(name: str, base: Path = Path()) -> str:
    """`name` as an absolute path if it is there as a file or folder, else as it is.

    Args:
        name: A component or a text; a data set in a folder may have its `:split` behind it.
        base: What a relative path is relative to.
    """
    if name.startswith(("zoo:", "bundled:", "scratch:")):
        return name
    for path, colon, split in ((name, "", ""), name.partition(":")):
        try:
            found = base / Path(path).expanduser()
            if path and found.exists():
                return f"{found.resolve()}{colon}{split}"
        except OSError:  # a name too long for the file system is no path
            return name
    return name


def worker_environment() -> dict[str, str]:
    """This environment, in which a worker finds the same manticore from any working directory."""
    package_parent = str(Path(manticore.__file__).resolve().parent.parent)
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}

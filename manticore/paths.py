"""What a name means, wherever it is read."""

from pathlib import Path


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

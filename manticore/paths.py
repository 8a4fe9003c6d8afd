"""What a name means wherever it is read: a file, a component, bundled data, or this package."""

import importlib.resources
import os
from pathlib import Path

import manticore

ASSETS = "manticore_assets"
"""Name under which the tree's `assets/` is installed."""


def bundled(folder: str) -> Path:
    """One folder of the data that are installed with the package.

    Args:
        folder: `zoo` for the bundled components, `recipes` for the bundled recipes.

    Raises:
        FileNotFoundError: The package is not installed, or was installed without its data.
    """
    try:
        found = importlib.resources.files(ASSETS) / folder
    except ModuleNotFoundError:
        found = None
    if not isinstance(found, Path) or not found.is_dir():
        raise FileNotFoundError(
            f"The bundled {folder} folder is missing from this installation of Manticore: "
            "reinstall the package, or run `pip install -e .` in a checkout."
        )
    return found


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
    """The environment of a worker, which finds the same manticore from any working directory.

    With a safe path, files of the working directory do not stand in for modules of the same name.
    """
    package_parent = str(Path(manticore.__file__).resolve().parent.parent)
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }

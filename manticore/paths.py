"""What a name means wherever it is read: a file, a component, bundled data, or this package."""

import importlib.resources
import os
import re
from pathlib import Path

ASSETS = "manticore_assets"
"""Name under which the tree's `assets/` is installed."""
NOTEBOOKS = "manticore_notebooks"
"""The same of `notebooks/`."""


def bundled(folder: str, package: str = ASSETS) -> Path:
    """One folder of the data that are installed with the package.

    Args:
        folder: `zoo` for the bundled components, `recipes` for the bundled recipes.
        package: Name under which the data are installed.

    Raises:
        FileNotFoundError: The package is not installed, or was installed without its data.
    """
    try:
        found = importlib.resources.files(package) / folder
    except ModuleNotFoundError:
        found = None
    if not isinstance(found, Path) or not found.is_dir():
        missing = folder or package.removeprefix("manticore_")
        raise FileNotFoundError(
            f"The bundled {missing} folder is missing from this installation of Manticore: "
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


_OF_SEVERAL_PROCESSES = re.compile(
    "(LOCAL_|GROUP_|ROLE_|NODE_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)|ROLE_NAME|"
    "(TORCHELASTIC|ACCELERATE|FSDP|PMI|OMPI_COMM_WORLD|MV2_COMM_WORLD)_.*"
)
"""Variables by which torchrun, accelerate and MPI tell a process that it is one of several."""


def worker_environment() -> dict[str, str]:
    """The environment of a worker: this one, with the same manticore in any working directory.

    A worker is a process of its own, whatever started the program that starts it: what tells that
    program that it is one of several is left out. With a safe path, files of the working directory
    do not stand in for modules of the same name. Its threads sleep while they wait, unless the
    environment says otherwise: on cores that it shares with a page or another run, threads that
    spin made a training step more than twice as slow, and on idle cores they gained nothing.
    """
    package_parent = str(Path(__file__).resolve().parent.parent)
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        name: value
        for name, value in os.environ.items()
        if not _OF_SEVERAL_PROCESSES.fullmatch(name)
    }
    return {
        "OMP_WAIT_POLICY": "PASSIVE",
        **own,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }

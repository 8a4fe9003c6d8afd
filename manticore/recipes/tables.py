"""The published tables of results, each measured by a program in `benchmarks/`."""

import re
import subprocess
import sys
from pathlib import Path

import manticore

CHECKOUT = Path(manticore.__file__).resolve().parent.parent


def table_names(checkout: Path = CHECKOUT) -> list[str]:
    """Names of the tables that `reproduce_table` can measure; none outside a checkout."""
    return sorted(
        path.stem
        for path in (checkout / "benchmarks").glob("*.py")
        if re.search(r"^def main\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


def reproduce_table(name: str, arguments: list[str], checkout: Path = CHECKOUT) -> int:
    """Measure a table again with `benchmarks/NAME.py`, in a process of its own.

    Args:
        name: One of `table_names`.
        arguments: Arguments of the program; `--help` lists them.
        checkout: Folder of the checkout.

    Returns:
        The exit status of the program.

    Raises:
        LookupError: There is no such table, or the package is not in a checkout.
    """
    names = table_names(checkout)
    if not names:
        raise LookupError(
            f"The table {name!r} needs the folder benchmarks/ of the project, which {checkout} "
            "does not have: clone the project and install it with pip install -e ."
        )
    if name not in names:
        raise LookupError(f"There is no table {name!r}: choose one of {', '.join(names)}.")
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return subprocess.run(command, cwd=checkout, check=False).returncode

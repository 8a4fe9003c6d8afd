"""The committed tables of measurements, each made by a program in `benchmarks/` of a checkout."""

import re
import subprocess
import sys
from pathlib import Path

import manticore

CHECKOUT = Path(manticore.__file__).resolve().parent.parent


def table_names(checkout: Path = CHECKOUT) -> list[str]:
    """The tables that `reproduce_table` knows; none outside a checkout."""
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
        LookupError: There is no such table, or no checkout.
    """
    names = table_names(checkout)
    if not names:
        raise LookupError(
            f"the table {name!r} needs benchmarks/, which a checkout of the project has beside the "
            f"package and {checkout} has not: clone the project and install it with pip install -e"
        )
    if name not in names:
        raise LookupError(f"there is no table {name!r}: the tables are {', '.join(names)}")
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return subprocess.run(command, cwd=checkout, check=False).returncode

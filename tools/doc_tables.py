"""Tables in the documentation that list what the package has: `python -m tools.doc_tables`.

A table stands between two comments, `<!-- table: NAME -->` and `<!-- end of table -->`. This
program fills it from the list that the package itself reads.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from manticore.components.families import FAMILIES
from manticore.components.spec import FamilySpec
from manticore.names import LONG_RANGE_TASKS, PROJECTORS, STAGES, STRATEGIES, TASKS

DOCS = Path(__file__).parents[1] / "docs"
_MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _inside(spec: FamilySpec) -> str:
    return "none" if spec.recurrent_mask else "within its layers"


TABLES: dict[str, Callable[[], str]] = {
    "families": lambda: _table(
        ["family", "positions", "longest sequence"],
        (
            [
                f"`{name}`",
                "added to its input" if spec.positions else _inside(spec),
                f"the model's `{spec.length_limit}`" if spec.length_limit else "not limited",
            ]
            for name, spec in FAMILIES.items()
        ),
    ),
    "stages": lambda: _table(
        ["stage", "what it does"], ((f"`{name}`", entry.about) for name, entry in STAGES.items())
    ),
    "strategies": lambda: _table(
        ["strategy", "how mixture weights are found"],
        ((f"`{name}`", entry.about) for name, entry in STRATEGIES.items()),
    ),
    "tasks": lambda: _table(
        ["task", "what it asks"], ((f"`{name}`", entry.about) for name, entry in TASKS.items())
    ),
    "long-range-tasks": lambda: _table(
        ["task", "what it asks"],
        ((f"`{name}`", entry.about) for name, entry in LONG_RANGE_TASKS.items()),
    ),
    "projectors": lambda: _table(
        ["projector", "what it is"],
        ((f"`{name}`", entry.about) for name, entry in PROJECTORS.items()),
    ),
}
"""By the name in the comment."""


def filled(text: str) -> str:
    """A page with each of its marked tables as the package would have it now."""
    return _MARKED.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], text)


def main() -> None:
    """Fill the tables of every page."""
    for page in sorted(DOCS.rglob("*.md")):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

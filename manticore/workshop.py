"""The workshop's notebooks: copies to work in, and the check of an exercise."""

import html
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any, Literal

from manticore.names import choose
from manticore.paths import NOTEBOOKS, bundled

NOT_ANSWERED = (
    "Not answered yet: put your answer in the place of the three dots, run that cell, then this "
    "one again."
)
_COLORS = {"right": "#17a07c", "wrong": "#c2453d", "open": "#8a94a3"}
_MARKS = {"right": "✓", "wrong": "✗", "open": "…"}


@dataclass(frozen=True)
class Verdict:
    """What a check says of an answer; true where the answer is right.

    Attributes:
        state: `right`, `wrong`, or `open` where there is no answer yet.
        text: What to tell the reader.
    """

    state: Literal["right", "wrong", "open"]
    text: str

    def __bool__(self) -> bool:
        return self.state == "right"

    def __repr__(self) -> str:
        return f"{_MARKS[self.state]} {self.text}"

    def _repr_html_(self) -> str:
        color = _COLORS[self.state]
        return (
            f'<div role="status" style="border-left:4px solid {color};padding:4px 10px">'
            f'<b style="color:{color}">{_MARKS[self.state]}</b> {html.escape(self.text)}</div>'
        )


Said = str | Callable[[Any], str]
"""What to say of an answer, or a function that makes it from the answer."""


def check(answer: Any, is_right: Callable[[Any], Any], *, right: Said, wrong: Said) -> Verdict:
    """Judge the answer to an exercise.

    Args:
        answer: The answer; `...` if there is none yet.
        is_right: Whether an answer is right.
        right: What a right answer shows.
        wrong: Hint after a wrong answer.

    Returns:
        The verdict, which a notebook shows as the last value of a cell. An answer that cannot be
        judged, such as text where a number is expected, is a wrong one.
    """
    if isinstance(answer, EllipsisType):
        return Verdict("open", NOT_ANSWERED)
    try:
        if is_right(answer):
            return Verdict("right", right if isinstance(right, str) else right(answer))
        hint = wrong if isinstance(wrong, str) else wrong(answer)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        hint = f"The answer {answer!r:.60} could not be judged: {e}"
    return Verdict("wrong", hint)


def notebook_titles() -> dict[str, str]:
    """Titles of the notebooks by name, in their order.

    Raises:
        FileNotFoundError: The package was installed without them.
    """
    return {path.stem: _title(path) for path in sorted(bundled("", NOTEBOOKS).glob("*.ipynb"))}


def copy_notebook(name: str, folder: Path) -> Path:
    """Copy a notebook into a folder, which is made if there is none.

    Args:
        name: Its name, or the number that its name begins with.
        folder: Where to.

    Returns:
        The copy.

    Raises:
        UnknownNameError: There is no such notebook.
        FileExistsError: The folder has a file of that name.
        FileNotFoundError: The package was installed without notebooks.
    """
    names = list(notebook_titles())
    numbered = {str(int(known.partition("-")[0])): known for known in names}
    name = numbered.get(name.lstrip("0"), name.removesuffix(".ipynb"))
    copy = folder / f"{choose(name, names, 'notebook')}.ipynb"
    if copy.exists():
        raise FileExistsError(
            f"{copy} exists, and may hold your answers: rename it, or copy into another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(bundled("", NOTEBOOKS) / copy.name, copy))


def _title(path: Path) -> str:
    """The first heading, without its number."""
    first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    return first.splitlines()[0].lstrip("# ").partition(" · ")[2]

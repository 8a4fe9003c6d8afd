"""Reading YAML that somebody else may have written, within limits.

A few hundred bytes of YAML can stand for more data than a machine holds, as aliases may be nested,
and deep nesting exhausts the stack. Both are refused before anything is built.
"""

from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
)

MOST_CHARACTERS = 64_000
"""Largest size of a text; a recipe has about a thousand characters."""
MOST_NODES = 20_000
"""Largest number of keys and values, with those that aliases repeat."""
DEEPEST = 20
"""Deepest nesting."""


def read_yaml(text: str) -> Any:
    """The value that a text in YAML stands for.

    Raises:
        ValueError: The text is not YAML, or it exceeds a limit on size, nesting or aliases.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(
            f"It has more than {MOST_CHARACTERS:,} characters, which is too long for a recipe."
        )
    try:
        _check_limits(text)
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, TypeError) as error:
        raise ValueError(f"It is not readable as YAML: {_problem(error)}.") from error


def parse_value(text: str) -> Any:
    """A value as YAML writes it: `1e-4`, `darts`, `[0.5, 0.5]`.

    Raises:
        ValueError: It cannot be read so.
    """
    try:
        return read_yaml(text)
    except ValueError as error:
        raise ValueError(f"{_short(text)} is not a value. {error}") from error


def parse_values(text: str) -> list[Any]:
    """Values with commas between, as YAML writes them: `1e-4,1e-3`, `darts,gaea`, `[1,0],[0,1]`.

    Raises:
        ValueError: It cannot be read so.
    """
    try:
        return list(read_yaml(f"[{text}]"))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{_short(text)} is not a list of values, such as 1e-4,1e-3. {error}"
        ) from error


def _problem(error: Exception) -> str:
    """What is wrong with a text, in one line."""
    if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    return str(error).partition("\n")[0]


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}...")


def _check_limits(text: str) -> None:
    """Count nodes as aliases repeat them; the parser hands out events without recursion."""
    sizes: dict[str, int] = {}  # nodes behind each anchor
    open_: list[tuple[str | None, int]] = []  # anchor, and nodes before it
    total = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"The alias *{event.anchor} refers to itself or to nothing.")
            total += sizes[event.anchor]
        elif isinstance(event, NodeEvent):
            total += 1
            if isinstance(event, CollectionStartEvent):
                open_.append((event.anchor, total - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        if len(open_) > DEEPEST:
            raise ValueError(f"It is nested more than {DEEPEST} levels deep.")
        if total > MOST_NODES:
            raise ValueError(
                f"It stands for more than {MOST_NODES:,} keys and values, with those that aliases "
                "repeat."
            )

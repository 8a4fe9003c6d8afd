"""What differs between runs: the options, and what came of them."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from manticore.config.run import RunConfig
from manticore.names import STRATEGIES
from manticore.views.as_code import given_hybrid, given_text

_ALIKE = {"start", "recipe", "name"}
"""Fields that say where a run comes from, and not what it does."""


def differences(configs: Sequence[RunConfig]) -> dict[str, list[str]]:
    """The options in which runs differ, and the value that each of them has.

    Args:
        configs: Configurations of the runs.

    Returns:
        By the option's name, such as `options.steps`, a value for each run; "" where it has none.
    """
    flat = [_flat(_given(config)) for config in configs]
    names = dict.fromkeys(name for values in flat for name in values)
    return {
        name: [values.get(name, "") for values in flat]
        for name in names
        if len({values.get(name) for values in flat}) > 1
    }


def differences_html(labels: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """A table with a column for each run.

    Args:
        labels: Labels of the runs.
        rows: Names of options, or of results, and a value for each run.
    """
    head = "".join(f"<th scope='col'>{html.escape(label)}</th>" for label in labels)
    body = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th>"
        + "".join(f"<td>{html.escape(value)}</td>" for value in values)
        + "</tr>"
        for name, values in rows.items()
    )
    return f"<table class='differences'><tr><td></td>{head}</tr>{body}</table>"


def _given(config: RunConfig) -> dict[str, Any]:
    """The options of a run; of its text and hybrid what differs from the defaults."""
    values = config.model_dump(mode="json", exclude=_ALIKE)
    if config.data:
        values["data"] = given_text(config)
    if "mixture_weights" not in given_hybrid(config):
        del values["mixture_weights"]
    strategy = values["options"].get("strategy")
    if strategy in STRATEGIES:
        known = set().union(*(entry.options for entry in STRATEGIES.values()))
        for name in known - STRATEGIES[strategy].options:  # they mean nothing to it
            values["options"].pop(name, None)
    return values


def _flat(values: Any, path: str = "") -> dict[str, str]:
    """Nested values by the path of their names."""
    if not isinstance(values, Mapping):
        shown = ", ".join(map(str, values)) if isinstance(values, list) else str(values)
        return {path: "" if values is None else shown}
    found: dict[str, str] = {}
    for name, value in values.items():
        # The options of a stage need no more than their names.
        inner = name if path in ("", "options") else f"{path}.{name}"
        found |= _flat(value, inner)
    return found

"""A notebook that does a run again."""

import json
from collections.abc import Iterator
from typing import Any

from manticore.archive.layout import CONFIG_NAME, START_PART
from manticore.config.run import RunConfig
from manticore.names import STAGES
from manticore.views.as_code import python_of

ABOUT = """# {title} again

This notebook starts {what} again, with the same settings. It needs Manticore
(`pip install manticore-hybrids`){text}.

`manticore.reproduce("{config}")` does the same in one line, and checks that the text and the
weights at the start are those that the run had."""


def again(config: RunConfig, title: str) -> str:
    """The notebook, as the text of its file.

    Args:
        config: Configuration of the run.
        title: What the run is called.
    """
    source = str(config.data.get("source", "")) if STAGES[config.stage].needs_text else ""
    elsewhere = source and not source.startswith("bundled:")
    about = ABOUT.format(
        title=title,
        what="the run and those before it" if config.start and config.start.parent else "the run",
        text=f", and the text `{source}`" if elsewhere else "",
        config=CONFIG_NAME,
    )
    cells = [_cell("markdown", about), *(_cell("code", code) for code in _codes(config))]
    document = {
        "cells": [cell | {"id": f"cell-{number}"} for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _codes(config: RunConfig) -> Iterator[str]:
    """The code of the runs that came before, the first one first, and that of the run itself."""
    start = config.start
    if start and start.parent:
        yield from _codes(start.parent.config)
        yield "run.wait()\n"
        yield python_of(config, start="run")
    elif start and not start.built:
        # Made elsewhere: only the weights are known, which are exported with the run.
        yield python_of(config, start=f'mc.ManticoreForCausalLM.from_pretrained("{START_PART}")')
    else:
        yield python_of(config)


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.rstrip("\n")}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})

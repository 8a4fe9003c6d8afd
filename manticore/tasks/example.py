"""An example of a task that people can read: what a model is given, and what it has to answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import NamedTuple

import numpy as np

from manticore.config.setting import Setting
from manticore.tasks.drawing import IGNORED, Draw
from manticore.tasks.task import find_task

SIGNS = {"noise": "~", "blank": "·", "padding": "–", "probe": "?", "copy": "?", "insert": "?"}
"""What stands for tokens that mean nothing but their kind; "restore" is one of them too."""


class Symbol(NamedTuple):
    """A token as people read it.

    Attributes:
        text: A letter for a key, a number for a value, a sign for others.
        kind: Its kind, as the task names it.
    """

    text: str
    kind: str


@dataclass(frozen=True)
class WorkedExample:
    """One example.

    Attributes:
        given: The tokens of the input.
        answers: For each position of the input the answer that is scored there, or None.
        from_the_end: Whether all answers are given at the last position.
    """

    given: Sequence[Symbol]
    answers: Sequence[Symbol | None]
    from_the_end: bool


def worked_example(task: str, seed: int = 0) -> WorkedExample:
    """Draw a small example of a task.

    Args:
        task: Name of the task.
        seed: Random seed.

    Raises:
        UnknownNameError: There is no such task.
        ValueError: The task does not say what its tokens mean.
    """
    found = find_task(task)
    if found.tokens is None:
        raise ValueError(f"The task {task} has no worked example: give its Task what tokens mean.")
    setting = Setting.model_validate({"task": task, **found.example})
    symbols = _symbols(found.tokens(setting))
    streams = np.random.SeedSequence(seed).spawn(2)
    draw = Draw(1, "test", np.random.default_rng(streams[0]), streams[1])
    inputs, targets = found.generate(setting, draw)
    answers = [None if token == IGNORED else symbols[token] for token in targets[0].tolist()]
    return WorkedExample(
        [symbols[token] for token in inputs[0].tolist()], answers, found.reconstructs
    )


def _symbols(kinds: Sequence[tuple[str, int]]) -> list[Symbol]:
    """A symbol for each token of the vocabulary."""
    symbols = []
    for kind, number in kinds:
        for index in range(number):
            text = SIGNS.get(kind, "?")
            if kind == "key":
                text = ascii_uppercase[index % len(ascii_uppercase)]
            elif kind == "value":
                text = str(index + 1)
            symbols.append(Symbol(text, kind))
    return symbols

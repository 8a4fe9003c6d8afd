"""A small engine for probabilistic grammars whose every choice is counted.

A story is told by ordinary Python code that draws from a `Source` and writes to it. Two sources
exist: `Sampler` draws at random and keeps the surprisal of what it drew; `Follower` is handed a
finished text and a list of draws and checks, piece by piece, that these draws write that text. With
the second, `derivations` finds *every* way in which the grammar can produce a text, so its exact
probability is known and unambiguity can be tested instead of believed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple


class MismatchError(Exception):
    """The draws being followed do not write the text being followed."""


class Source:
    """What a story draws its choices from and writes its text to."""

    def pick(self, n: int) -> int:
        """Return one of 0..n-1, each with probability 1/n."""
        raise NotImplementedError

    def pick_from(self, pool: str, n: int) -> int:
        """Return one of 0..n-1, each with probability 1/n.

        Args:
            pool: Name of what is drawn from, for sources whose pools are drawn from independently.
            n: Number of what is left in it.
        """
        return self.pick(n)

    def flip(self, probability: float) -> bool:
        """Return True with `probability` (strictly between 0 and 1)."""
        raise NotImplementedError

    def write(self, piece: str) -> None:
        """Append `piece` to the text."""
        raise NotImplementedError


class Sampler(Source):
    """Draws at random.

    Args:
        rng: Generator of the draws.

    Attributes:
        nats: -log p of everything drawn so far.
    """

    def __init__(self, rng: random.Random) -> None:
        self._random = rng.random
        self._pieces: list[str] = []
        self.nats = 0.0

    def pick(self, n: int) -> int:
        """Draw one of 0..n-1."""
        self.nats += math.log(n)
        return int(self._random() * n)

    def flip(self, probability: float) -> bool:
        """Draw True with `probability`."""
        outcome = self._random() < probability
        self.nats -= math.log(probability if outcome else 1 - probability)
        return outcome

    def write(self, piece: str) -> None:
        """Append `piece` to the text."""
        self._pieces.append(piece)

    def text(self) -> str:
        """What was written so far."""
        return "".join(self._pieces)


class Follower(Source):
    """Replays `path` (then always option 0) and raises `MismatchError` where it leaves `text`.

    Args:
        text: Text to follow.
        path: Index of each of the first draws.

    Attributes:
        draws: Index and number of options of each draw so far.
        nats: -log p of everything drawn so far.
    """

    def __init__(self, text: str, path: Sequence[int]) -> None:
        self._text = text
        self._path = path
        self._position = 0
        self.draws: list[tuple[int, int]] = []
        self.nats = 0.0

    def pick(self, n: int) -> int:
        """Take the next draw of the path."""
        self.nats += math.log(n)
        return self._next(n)

    def flip(self, probability: float) -> bool:
        """Take the next draw of the path: option 0 is True."""
        outcome = self._next(2) == 0
        self.nats -= math.log(probability if outcome else 1 - probability)
        return outcome

    def _next(self, n: int) -> int:
        step = len(self.draws)
        index = self._path[step] if step < len(self._path) else 0
        self.draws.append((index, n))
        return index

    def write(self, piece: str) -> None:
        """Check that the text continues with `piece`.

        Raises:
            MismatchError: It does not.
        """
        if not self._text.startswith(piece, self._position):
            raise MismatchError
        self._position += len(piece)

    @property
    def finished(self) -> bool:
        """Whether the whole text has been written."""
        return self._position == len(self._text)


class Derivation(NamedTuple):
    """One way to write a text.

    Attributes:
        path: Index of every draw.
        nats: -log of their probability.
    """

    path: tuple[int, ...]
    nats: float


def derivations(tell: Callable[[Source], None], text: str) -> Iterator[Derivation]:
    """Yield every sequence of draws with which `tell` writes exactly `text`.

    Depth-first over the tree of draws; a branch is cut at the first written piece that differs.

    Args:
        tell: Function that draws from a source and writes to it.
        text: Text to derive.
    """
    path: list[int] = []
    while True:
        follower = Follower(text, path)
        try:
            tell(follower)
            complete = follower.finished
        except MismatchError:
            complete = False
        draws = follower.draws
        if complete:
            yield Derivation(tuple(index for index, _ in draws), follower.nats)
        while draws and draws[-1][0] + 1 == draws[-1][1]:
            draws.pop()
        if not draws:
            return
        path = [index for index, _ in draws]
        path[-1] += 1

"""What was done in the explorer, as Python that does it again."""

from collections.abc import Mapping, Sequence
from typing import Any

from manticore.runs import Run
from manticore.views.as_code import stage_lines

Rows = Sequence[Sequence[float]]


class Done:
    """The steps that led to the hybrid that is shown, each as lines of Python."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def begin(self, line: str) -> None:
        """Forget what was done before.

        Args:
            line: What makes the hybrid.
        """
        self._lines = ["import manticore as mc", "", line]

    def built(self, components: Sequence[str], n_blocks: int, options: Mapping[str, Any]) -> None:
        """A hybrid was built; arguments as for `Explorer.build`."""
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        self.begin(f"hybrid = mc.build_hybrid({list(components)!r}, {n_blocks}{given})")

    def opened(self, run: Run) -> None:
        """A run was opened."""
        self.begin(f"run = mc.get_run({run.id!r})")
        self._lines.append("hybrid = run.hybrid()")

    def started(self, run: Run, mixed: Rows | None) -> None:
        """A run was started from the hybrid, and it has become the run's.

        Args:
            run: The run.
            mixed: Mixture weights that were mixed by hand before; None if there are none.
        """
        stage = stage_lines(run.config, "hybrid", "hybrid.tokenizer")
        self._lines += [*_by_hand(mixed), *stage, "run.wait()", "hybrid = run.hybrid()"]

    def code(self, mixed: Rows | None) -> str:
        """All steps.

        Args:
            mixed: Mixture weights that were mixed by hand after the last step; None if there are
                none.
        """
        return "\n".join([*self._lines, *_by_hand(mixed)])


def _by_hand(mixed: Rows | None) -> list[str]:
    if mixed is None:
        return []
    rows = [[round(share, 4) for share in row] for row in mixed]
    return [f"hybrid.set_mixture_weights({_on_the_simplex(rows)!r})"]


def _on_the_simplex(rows: list[list[float]]) -> list[list[float]]:
    """Rounded rows that still sum to one."""
    return [[*row[:-1], round(1 - sum(row[:-1]), 4)] for row in rows]

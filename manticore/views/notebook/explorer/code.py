"""What was done in the explorer, as Python that does it again."""

from collections.abc import Mapping, Sequence
from typing import Any

from manticore.runs import Run

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

    def searched(
        self, text: str, strategy: str, steps: int, options: Mapping[str, Any], mixed: Rows | None
    ) -> None:
        """A search was started; arguments as for `Explorer.search`, and what was mixed before."""
        data = f"mc.load_text({text!r}, tokenizer=hybrid.tokenizer, seq_len=128)"
        self._run(f"mc.search(hybrid, text, {strategy!r}, {steps}", options, mixed, data)

    def programmed(
        self, tasks: Mapping[str, float], steps: int, options: Mapping[str, Any], mixed: Rows | None
    ) -> None:
        """Tasks were searched; arguments as for `Explorer.program`, and what was mixed before."""
        self._run(f"mc.program(hybrid, {dict(tasks)!r}, {steps}", options, mixed)

    def code(self, mixed: Rows | None) -> str:
        """All steps.

        Args:
            mixed: Mixture weights that were mixed by hand after the last step; None if there are
                none.
        """
        return "\n".join([*self._lines, *_by_hand(mixed)])

    def _run(
        self, call: str, options: Mapping[str, Any], mixed: Rows | None, data: str = ""
    ) -> None:
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        self._lines += [
            *_by_hand(mixed),
            *([f"text = {data}"] if data else []),
            f"run = {call}{given})",
            "run.watch()",
            "run.wait()",
            "hybrid = run.hybrid()",
        ]


def _by_hand(mixed: Rows | None) -> list[str]:
    if mixed is None:
        return []
    rows = [[round(share, 4) for share in row] for row in mixed]
    return [f"hybrid.set_mixture_weights({_on_the_simplex(rows)!r})"]


def _on_the_simplex(rows: list[list[float]]) -> list[list[float]]:
    """Rounded rows that still sum to one."""
    return [[*row[:-1], round(1 - sum(row[:-1]), 4)] for row in rows]

"""The demonstration: two languages, two components, and mixture weights that must divide them.

Static mixture weights are the same for every token: they choose one component for an English text
and the other for a Spanish one, and a text in both languages leaves them without a good choice.
Routed ones follow the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from manticore.api import search
from manticore.config.search import AWAITED_SEQUENCES
from manticore.data import TextData, load_text
from manticore.evaluate import perplexity
from manticore.hybrid import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.generation import sample_text
from manticore.runs import Run
from manticore.views.colored_text import show_text
from manticore.views.terminal.demo_tables import (
    Measured,
    comparison,
    components_alone,
    components_table,
    last_perplexity,
)
from manticore.views.terminal.panel import brief_view
from manticore.views.terminal.watching import Until, watch
from manticore.views.wording import in_its_folder

COMPONENTS = ("zoo:tales-neox", "zoo:novelas-mamba")
N_STORIES = 1000
"""More than the searches read, and soon tokenized."""
TEXTS = tuple(f"bundled:stories-{language}?n_stories={N_STORIES}" for language in ("en", "es"))
BOTH = f"bundled:stories-mixed?n_stories={N_STORIES}"
PROMPTS = ("Once upon a time", "Había una vez")
SEQ_LEN = 128
SAMPLE_TOKENS = 60
LANGUAGE_STEPS = 10
"""Steps of a search on a text in one language, which is soon decided."""
MEASURING = {"batch_size": 4, "eval_batches": 8, "sample_prompt": ""}
ROUTER = {"threshold": 0.3, "window": 4, "fit_sequences": AWAITED_SEQUENCES}
"""Tokens that one component alone is weighed for are cheap, and so is a fit on fewer sequences."""


ABOUT_BOTH = "stories in English and Spanish"
HEADINGS = (
    (
        "Two components become one hybrid, and a router learns where to use which",
        "Each word of the text has the color of the component that reads it. Only the router is "
        "fitted: no weight of the components changes.",
    ),
    (
        "Static mixture weights: one row per block, the same for every token",
        "They are searched on stories in English, in Spanish, and in both languages.",
    ),
    (
        "Routed mixture weights: every token has its own",
        "They have been searched since the router was fitted, on the stories in both languages.",
    ),
    (
        "What the hybrid writes, and how well it predicts",
        "The beginnings are given; the hybrid continues them.",
    ),
)
"""Title of each part, and what is to be seen in it."""


class LeftError(Exception):
    """Somebody pressed Ctrl-C: the run that was shown continues.

    Args:
        run: That run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(f"The watching of {run.id} was ended.")
        self.run = run


@dataclass(frozen=True)
class Demo:
    """What the parts of the demonstration share.

    Attributes:
        console: Terminal to write to.
        hybrid: The hybrid, at even mixture weights; it stays as it is.
        steps: Steps of each search.
        seed: Random seed of the searches and the samples.
        root: Folder of runs.
    """

    console: Console
    hybrid: ManticoreForCausalLM
    steps: int
    seed: int
    root: Path | None

    @cached_property
    def both(self) -> TextData:
        """The text in both languages."""
        return self.text(BOTH)

    def text(self, name: str) -> TextData:
        """A text in the hybrid's tokens.

        Args:
            name: Its name, as for `load_text`.
        """
        assert self.hybrid.tokenizer is not None, "build_hybrid gives it one"
        return load_text(name, tokenizer=self.hybrid.tokenizer, seq_len=SEQ_LEN)

    def start(
        self, start: ManticoreForCausalLM | Run, data: TextData, strategy: str, **options: Any
    ) -> Run:
        """Start a search.

        Args:
            start: What it starts from.
            data: Its text.
            strategy: Its strategy.
            options: Its other options.
        """
        name = f"demo {strategy} {data.name}"
        settings = {"seed": self.seed, "root": self.root, "name": name}
        return search(
            start, data, strategy, **{**MEASURING, "steps": self.steps, **options}, **settings
        )

    def show(self, run: Run, until: Until | None = None) -> None:
        """Show a run until it ends.

        Args:
            run: The run.
            until: Whether to stop before; None to stay to the end.

        Raises:
            LeftError: Ctrl-C.
            RunError: The run failed.
        """
        if not watch(run, self.console, brief_view, until or (lambda run: False)):
            raise LeftError(run)
        if until is None or not run.is_alive:
            run.wait()


def demo(
    console: Console,
    *,
    components: Sequence[str] = COMPONENTS,
    n_blocks: int = 4,
    steps: int = 40,
    seed: int = 0,
    root: Path | None = None,
) -> Run:
    """Build a hybrid, fit a router, search static and routed mixture weights, and let it write.

    Args:
        console: Terminal to write to.
        components: Components to mix: zoo names, hub ids or folders.
        n_blocks: Number of blocks of the hybrid.
        steps: Steps of each search.
        seed: Random seed of the searches and the samples.
        root: Folder of runs; `$MANTICORE_RUNS` or `./runs` if not given.

    Returns:
        The run that was shown last; it is still running after Ctrl-C.
    """
    _heading(console, 1, *HEADINGS[0])
    told = Demo(console, build_hybrid(list(components), n_blocks), steps, seed, root)
    console.print(components_table(told.hybrid))
    try:
        run, measured = _fitted(told)
        _heading(console, 2, *HEADINGS[1])
        measured.append(_static(told))
        _heading(console, 3, *HEADINGS[2])
        told.show(run)
    except LeftError as left:
        return left.run
    measured.append(Measured(f"routed mixture weights, {steps} steps", last_perplexity(run)))
    _heading(console, 4, *HEADINGS[3])
    _write(told, run.hybrid())
    console.print(comparison(measured, ABOUT_BOTH))
    console.print()
    there = in_its_folder(run)
    for how, command in (("Chat with it", f"chat {run.id}"), ("or open the page", "app")):
        console.print(f"{how}:  manticore {command}{there}", highlight=False, soft_wrap=True)
    return run


def _fitted(told: Demo) -> tuple[Run, list[Measured]]:
    """A routed search that has fitted its router, and perplexities: without it, and with it."""
    run = told.start(told.hybrid, told.both, "routed", router=ROUTER)
    # While the process of the run starts: also what the run reads before its first picture.
    _ = told.both.floor
    even = perplexity(told.hybrid, told.both.valid, batch_size=4, max_batches=8)
    told.show(run, until=lambda run: any(event["kind"] == "probe" for event in run.events()))
    metrics = next(event["metrics"] for event in run.events() if event["kind"] == "eval")
    measured = components_alone(metrics)
    measured.append(Measured("even mixture weights, no training", even))
    measured.append(Measured("fitted router, no training", metrics["perplexity"]))
    told.console.print()
    told.console.print(comparison(measured, ABOUT_BOTH))
    return run, measured


def _static(told: Demo) -> Measured:
    """Search static mixture weights on each language, and on both together, which is measured."""
    for name in TEXTS:
        _one_static(told, told.text(name), min(told.steps, LANGUAGE_STEPS))
    run = _one_static(told, told.both, told.steps)
    return Measured(f"static mixture weights, {told.steps} steps", last_perplexity(run))


def _one_static(told: Demo, data: TextData, steps: int) -> Run:
    told.console.print(Text(f"\n{data.name}", "bold"))
    run = told.start(told.hybrid, data, "probe", steps=steps, probe_every=told.steps)
    told.show(run)
    return run


def _write(told: Demo, hybrid: ManticoreForCausalLM) -> None:
    """Continue each prompt, every token in the color of its component."""
    for prompt in PROMPTS:
        written = sample_text(hybrid, prompt, SAMPLE_TOKENS, seed=told.seed)
        told.console.print(Padding(show_text(hybrid, written), (0, 0, 1, 0)))


def _heading(console: Console, number: int, text: str, about: str) -> None:
    console.print()
    console.rule(f"[bold]{number}  {text}", align="left")
    console.print(Text(f"{about}\n", "dim"))

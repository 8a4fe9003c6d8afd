"""What the commands of suites have in common: their progress, their table, and Ctrl-C."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from manticore.cli.common import INTERRUPTED

if TYPE_CHECKING:
    from manticore.suite.progress import Progress as SuiteProgress
    from manticore.suite.scores import Suite

PANEL = "Recipes and results"
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A model to train: a family such as gpt_neo, a hybrid such as gpt_neo+mamba, or "
        "the published mambaformer or striped. Repeat it for several. [default: the published "
        "ones and their families]",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="A task. Repeat it for several. [default: all of the preset]",
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="Number of random seeds.")]
Device = Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda or cuda:N.")]
Jobs = Annotated[
    int, typer.Option(min=1, help="Number of trainings at the same time, each in a process.")
]
Dtype = Annotated[str, typer.Option(help="Precision of training: float32, bfloat16 or float16.")]


def run_suite(
    suite: "Callable[[Callable[[SuiteProgress], object]], Suite]",
    published: "Callable[[Suite], Mapping[str, Mapping[str, float]]] | None" = None,
) -> None:
    """Run a suite with a progress bar, and print its table.

    Args:
        suite: Runs it, given what it reports its progress to.
        published: Gives, by model, published accuracies in percent to print below.
    """
    from manticore.suite.interrupts import SAVED

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        try:
            found = suite(_shown(bar) if console.is_terminal else _said())
        except KeyboardInterrupt as error:
            how = "and saved: the same command continues"
            if SAVED not in error.args:
                how = "at once: the same command continues from the last checkpoint"
            console.print(f"Interrupted, {how}.")
            raise typer.Exit(INTERRUPTED) from None
    known = {} if published is None else published(found)
    console.print(suite_table(found.rows(), found.chance(), known))
    console.print(found.path, highlight=False, soft_wrap=True)


def suite_table(
    rows: Sequence[Mapping[str, Any]],
    chance: Mapping[str, float],
    published: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> Table:
    """Scores of models on tasks, with the spread over seeds, and the chance accuracy.

    Args:
        rows: Scores of the models, from `Suite.rows`.
        chance: Chance accuracy of the tasks, from `Suite.chance`.
        published: By model, published accuracies in percent.
    """
    from manticore.views.wording import short_task

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    tasks = list(rows[0]["tasks"])
    for column in ("size", *(short_task(task) for task in tasks), "mean"):
        table.add_column(column, justify="right")
    for row in rows:
        scores = [_score(row["tasks"][task]) for task in tasks]
        table.add_row(row["model"], _size(row["parameters"]), *scores, _score(row["mean"]))
    shares = [chance[task] for task in tasks]
    table.add_row("chance", "", *(f"{share:.1%}" for share in (*shares, fmean(shares))))
    for model, known in published.items():
        scores = [f"{known[task]:.1f}%" if task in known else "" for task in tasks]
        table.add_row(f"{model}, published", "", *scores, "")
    return table


def _said() -> Callable[["SuiteProgress"], None]:
    """A reporter that prints a line per finished training, where no terminal can be drawn on."""
    finished = 0

    def say(progress: "SuiteProgress") -> None:
        nonlocal finished
        # Several jobs report in any order.
        if progress.finished > finished and progress.step == progress.trial.steps:
            finished = progress.finished
            typer.echo(_words(progress))

    return say


def _words(progress: "SuiteProgress") -> str:
    trial = progress.trial
    measured = "" if progress.accuracy is None else f" {progress.accuracy:.1%}"
    return f"{progress.finished}/{progress.total} {trial.model}, {trial.setting.task}{measured}"


def _shown(bar: Progress) -> Callable[["SuiteProgress"], None]:
    """A reporter that moves a progress bar."""
    shown = bar.add_task("", total=1.0)

    def show(progress: "SuiteProgress") -> None:
        bar.update(shown, completed=progress.share, description=_words(progress))

    return show


def _score(found: Mapping[str, Any]) -> str:
    spread = "" if found["spread"] is None else f" ± {100 * found['spread']:.1f}"
    return f"{100 * found['score']:.1f}{spread}%"


def _size(parameters: tuple[int, int]) -> str:
    """The largest number of parameters over the tasks, whose vocabularies differ."""
    return f"{max(parameters) / 1e6:.2f}M"

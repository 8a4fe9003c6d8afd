"""The command that says how far programmed mixture weights can be trusted."""

from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from manticore.cli.common import (
    Explaining,
    Root,
    RunId,
    SeqLen,
    Text,
    find_run,
    load_described,
    quiet_progress,
)
from manticore.views.wording import lead_in_words, short_task

if TYPE_CHECKING:
    from manticore.programming.trust import Trust

commands = typer.Typer(cls=Explaining)


@commands.command(rich_help_panel="Runs")
def trust(run: RunId, data: Text, seq_len: SeqLen = 256, root: Root = None) -> None:
    """Say how far programmed mixture weights can be trusted on a text, without any training."""
    quiet_progress()
    import manticore as mc
    from manticore.config.text import TextConfig

    programmed = find_run(run, root).programming()
    text = load_described(TextConfig(source=data, seq_len=seq_len), programmed.hybrid())
    found = mc.trust(programmed, text)
    console = Console()
    console.print(_component_table(found))
    console.print(f"{lead_in_words(found)}\n", highlight=False)
    console.print(_trust_table(programmed.metrics()["tasks"], found.skills))
    if found.not_counted:
        names = ", ".join(map(short_task, found.not_counted))
        console.print(f"No weight in any text, as nothing to count is known: {names}.")
    console.print(
        f"Agreement: {found.agreement:.2f} (1 = with their weights in the text the tasks order the "
        "blocks of each component identically, 0 = as by chance, -1 = in the opposite order). Of "
        f"all orders of the blocks {found.by_chance:.0%} agree as well.",
        highlight=False,
    )


def _component_table(found: "Trust") -> Table:
    """What each component can do alone on the text, and how much programming gives it."""
    from manticore.views.plots.perplexity import perplexity_label

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("component", "mean mixture weight", "perplexity alone"):
        table.add_column(column, justify="left" if column == "component" else "right")
    for name, alone in found.alone.items():
        table.add_row(name, f"{found.shares[name]:.2f}", perplexity_label(alone))
    return table


def _trust_table(tasks: dict[str, Any], weights: dict[str, float]) -> Table:
    """What each task counts for in a text, and how well it was done.

    Args:
        tasks: Results of a programming run, by task.
        weights: Weight of each task in the text, where it has one.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("task", "weight in text", "accuracy", "chance"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for name, result in tasks.items():
        # Older runs do not have the chance accuracy.
        weight = weights.get(result["setting"]["task"])
        shares = (weight, result["accuracy"], result.get("guessing"))
        table.add_row(short_task(name), *("" if n is None else f"{n:.0%}" for n in shares))
    return table

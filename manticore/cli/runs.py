"""Commands on runs: list, watch, stop and resume them, and write with the hybrids they made."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from manticore.cli.common import (
    Explaining,
    Root,
    RunId,
    Watching,
    find_run,
    quiet_progress,
    watch_run,
)

commands = typer.Typer(cls=Explaining)

PANEL = "Runs"
Temperature = Annotated[
    float, typer.Option(min=0, help="Sampling temperature; 0 takes the likeliest token.")
]
TopP = Annotated[float, typer.Option(min=0.01, max=1, help="Probability mass of nucleus sampling.")]
NewTokens = Annotated[int, typer.Option(min=1, help="Longest continuation, in tokens.")]


@commands.command(rich_help_panel=PANEL)
def runs(root: Root = None) -> None:
    """List the runs, the newest first."""
    from manticore.runs import runs as list_runs

    found = list_runs(root)
    if not found:
        typer.echo("No runs yet: start one with `manticore demo` or `manticore search`.")
        return
    from manticore.views.terminal.tables import runs_table

    Console().print(runs_table(found))


@commands.command(rich_help_panel=PANEL)
def watch(run: RunId, root: Root = None) -> None:
    """Show a run live: its mixture weights, loss and perplexity."""
    watch_run(find_run(run, root))


@commands.command(rich_help_panel=PANEL)
def show(
    run: RunId,
    text: Annotated[str, typer.Argument(help="The text, in quotes.")],
    root: Root = None,
) -> None:
    """Show a text in the colors of the components that a run's hybrid gives each word to."""
    quiet_progress()
    from manticore.views.colored_text import show_text

    Console().print(show_text(find_run(run, root).hybrid(), text))


@commands.command(rich_help_panel=PANEL)
def stop(
    run: RunId,
    now: Annotated[
        bool, typer.Option("--now", help="End the run at once, without a checkpoint.")
    ] = False,
    root: Root = None,
) -> None:
    """Ask a run to save a checkpoint and stop."""
    from manticore.runs import RunError
    from manticore.views.wording import in_its_folder

    found = find_run(run, root)
    if not found.is_alive:
        raise RunError(f"Run {found.id} is {found.status.state}: there is nothing to stop.")
    found.kill() if now else found.stop()
    resume = f"manticore resume {found.id}{in_its_folder(found)}"
    when = "was ended" if now else "stops after its current step"
    typer.echo(f"{found.id} {when}; `{resume}` continues it.")


@commands.command(rich_help_panel=PANEL)
def resume(run: RunId, watching: Watching = True, root: Root = None) -> None:
    """Continue a run that was stopped, failed or was killed, from its last checkpoint."""
    found = find_run(run, root).resume()
    if watching:
        watch_run(found)


@commands.command(rich_help_panel=PANEL)
def rename(
    run: RunId,
    name: Annotated[str | None, typer.Argument(help="Its new name; '' for the first one.")] = None,
    note: Annotated[str | None, typer.Option(help="A note on it; '' for none.")] = None,
    root: Root = None,
) -> None:
    """Call a run by another name, or note something about it."""
    if name is None and note is None:
        raise ValueError("Nothing is given: write a NAME, or --note TEXT, or both.")
    found = find_run(run, root).rename(name, note=note)
    typer.echo(f"{found.id}: {found.name or 'no name'}")


@commands.command(rich_help_panel=PANEL)
def export(
    run: RunId,
    file: Annotated[
        Path | None, typer.Argument(help="The zip file to write. [default: RUN.zip]")
    ] = None,
    root: Root = None,
) -> None:
    """Write a run with its hybrid, its figures and a notebook into a zip file."""
    from manticore.archive import export_run

    found = find_run(run, root)
    typer.echo(export_run(found, file or Path(f"{found.id}.zip")))


@commands.command("import", rich_help_panel=PANEL)
def import_(
    file: Annotated[Path, typer.Argument(help="A zip file that `manticore export` has made.")],
    root: Root = None,
) -> None:
    """Make a run of a zip file that was exported, here or elsewhere."""
    quiet_progress()
    from manticore.archive import import_run

    typer.echo(import_run(file, root).id)


@commands.command(rich_help_panel=PANEL)
def chat(
    run: RunId,
    temperature: Temperature = 0.8,
    top_p: TopP = 0.95,
    max_new_tokens: NewTokens = 96,
    root: Root = None,
) -> None:
    """Write text together with a run's hybrid."""
    quiet_progress()
    from manticore.views.terminal.chat import chat as talk

    talk(
        find_run(run, root).hybrid(),
        Console(),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
    )

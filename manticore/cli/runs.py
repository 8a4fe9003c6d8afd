"""Commands on runs: list, watch, stop, resume, and write with what they made."""

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
from manticore.runs import RunError
from manticore.runs import runs as list_runs
from manticore.views.wording import in_its_folder

commands = typer.Typer(cls=Explaining)

Temperature = Annotated[float, typer.Option(min=0, help="0 takes the likeliest token.")]
TopP = Annotated[float, typer.Option(min=0.01, max=1, help="Nucleus mass.")]
NewTokens = Annotated[int, typer.Option(min=1, help="Longest continuation, in tokens.")]


@commands.command()
def runs(root: Root = None) -> None:
    """List the runs, the newest first."""
    found = list_runs(root)
    if not found:
        typer.echo("No runs yet: start one with `manticore demo` or `manticore search`.")
        return
    from manticore.views.terminal.tables import runs_table

    Console().print(runs_table(found))


@commands.command()
def watch(run: RunId, root: Root = None) -> None:
    """Show a run's mixture weights, loss and perplexity while they move."""
    watch_run(find_run(run, root))


@commands.command()
def stop(
    run: RunId,
    now: Annotated[
        bool, typer.Option("--now", help="End it at once, without a checkpoint.")
    ] = False,
    root: Root = None,
) -> None:
    """Ask a run to save a checkpoint and end."""
    found = find_run(run, root)
    if not found.is_alive:
        raise RunError(f"run {found.id} is {found.status.state}: there is nothing to stop")
    found.kill() if now else found.stop()
    resume = f"manticore resume {found.id}{in_its_folder(found)}"
    when = "was ended" if now else "ends after the step it is in"
    typer.echo(f"{found.id} {when}; `{resume}` goes on.")


@commands.command()
def resume(
    run: RunId,
    watching: Watching = True,
    root: Root = None,
) -> None:
    """Go on with a run that was stopped, failed or was killed, from its last checkpoint."""
    found = find_run(run, root).resume()
    if watching:
        watch_run(found)


@commands.command()
def chat(
    run: RunId,
    temperature: Temperature = 0.8,
    top_p: TopP = 0.95,
    max_new_tokens: NewTokens = 96,
    root: Root = None,
) -> None:
    """Write with the hybrid that a run has made."""
    quiet_progress()
    from manticore.views.terminal.chat import chat as talk

    talk(
        find_run(run, root).hybrid(),
        Console(),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
    )

"""Commands that need nothing: the page, the demonstration, and what this machine has."""

from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manticore.cli.common import Explaining, Root, Seed, quiet_progress
from manticore.views.wording import REACH

commands = typer.Typer(cls=Explaining)

PANEL = "First steps"


@commands.command(name="app", rich_help_panel=PANEL)
def serve(
    host: Annotated[
        str, typer.Option(help=f"0.0.0.0 lets other machines in; {REACH}.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    root: Root = None,
) -> None:
    """Open the explorer as a page for the browser."""
    arguments = ["--host", host, "--port", str(port)]
    if root is not None:
        arguments += ["--runs-root", str(root)]
    # Under its installed name: a folder `app` where the command is run is somebody else's.
    import_module("manticore_app.main").main(arguments)


@commands.command(rich_help_panel=PANEL)
def demo(
    steps: Annotated[int, typer.Option(min=1, help="Steps of the search.")] = 200,
    seed: Seed = 0,
    root: Root = None,
) -> None:
    """Build a hybrid of two bundled components, search it, and read what it writes."""
    quiet_progress()
    from manticore.views.terminal.demo import demo as run_demo

    run_demo(Console(), steps=steps, seed=seed, root=root)


@commands.command(rich_help_panel=PANEL)
def doctor() -> None:
    """Say what is installed, what will be used, and what would be faster."""
    from manticore.views.terminal.doctor import examine

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in examine():
        mark = "[yellow]![/]" if finding.advice else "[green]✓[/]"
        found = escape(finding.found)
        if finding.advice:
            found += f"\n[yellow]{escape(finding.advice)}[/]"
        table.add_row(mark, finding.what, found)
    Console().print(table)

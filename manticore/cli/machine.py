"""Commands to begin with: the page, the demonstration, and what is installed on this machine."""

import importlib.util
import os
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manticore.cli.common import Explaining, Root, Seed, quiet_progress
from manticore.importing import without_collecting
from manticore.views.wording import REACH

commands = typer.Typer(cls=Explaining)

PANEL = "First steps"


@commands.command(name="app", rich_help_panel=PANEL)
def serve(
    host: Annotated[
        str, typer.Option(help=f"Address to listen on. 0.0.0.0 lets other machines in: {REACH}.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 7860,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the text files that the page may read. [default: the working folder]"
        ),
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help=f"Make a public link through gradio.live: {REACH}.")
    ] = False,
    root: Root = None,
) -> None:
    """Open the explorer as a page for the browser."""
    if importlib.util.find_spec("manticore_app") is None:
        raise ModuleNotFoundError(
            'The page is not installed: run `pip install "manticore-hybrids[app]"`, or '
            "`make app` in a checkout."
        )
    folders = {"--runs-root": root, "--texts": texts}
    arguments = ["--host", host, "--port", str(port), *(["--share"] if share else [])]
    for flag, folder in folders.items():
        arguments += [] if folder is None else [flag, str(folder)]
    # Under its installed name: a folder `app` where the command is run is somebody else's.
    import_module("manticore_app.main").main(arguments)


@commands.command(rich_help_panel=PANEL)
def demo(
    steps: Annotated[
        int, typer.Option(min=1, help="Number of optimizer steps of each search.")
    ] = 40,
    seed: Seed = 0,
    root: Root = None,
) -> None:
    """See mixture weights follow a text: two languages, two bundled components, one hybrid."""
    # Two searches run at a time, and threads that share a core mostly wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
    from manticore.runs.spare import SPARE

    # Before all that takes seconds here: it imports while the hybrid is built.
    SPARE.keep()
    with without_collecting():
        quiet_progress()
        from manticore.views.terminal.demo import demo as run_demo

    run_demo(Console(), steps=steps, seed=seed, root=root)


@commands.command(rich_help_panel=PANEL)
def doctor() -> None:
    """Show what is installed, what will be used, and what would make it faster."""
    from manticore.views.terminal.doctor import examine

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in examine():
        mark = "[yellow]![/]" if finding.advice else "[green]✓[/]"
        found = escape(finding.found)
        if finding.advice:
            found += f"\n[yellow]{escape(finding.advice)}[/]"
        table.add_row(mark, finding.what, found)
    Console().print(table)

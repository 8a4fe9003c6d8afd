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
        str,
        typer.Option(
            help="Address to listen on. 0.0.0.0 lets other machines in, and needs --auth."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 7860,
    share: Annotated[
        bool,
        typer.Option("--share", help="Make a public link through gradio.live, which needs --auth."),
    ] = False,
    auth: Annotated[
        Path | None,
        typer.Option(
            help="File with a line NAME:PASSWORD for each person who may log in; MANTICORE_AUTH "
            "may hold them instead."
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help=f"Let others in without logins: {REACH}.")
    ] = False,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            "--data-root",
            "--texts",
            help="Folder whose texts and components visitors may use; may be repeated. [default: "
            "the working folder; with logins or --host, none]",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Another name under which the page is reached; may be repeated."),
    ] = None,
    no_hub: Annotated[
        bool, typer.Option("--no-hub", help="Visitors take nothing from the hub.")
    ] = False,
    runs_at_once: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs of the page that may work at the same time; others wait. [default: half as "
            "many as this machine has cores]",
        ),
    ] = None,
    root: Root = None,
) -> None:
    """Open the explorer as a page for the browser."""
    if importlib.util.find_spec("manticore_app") is None:
        raise ModuleNotFoundError(
            'The page is not installed: run `pip install "manticore-hybrids[app]"`, or '
            "`make app` in a checkout."
        )
    flags = {"--share": share, "--no-auth": no_auth, "--no-hub": no_hub}
    repeated = {
        "--runs-root": [root],
        "--auth": [auth],
        "--runs-at-once": [runs_at_once],
        "--data-root": data_root,
        "--allowed-host": allowed_host,
    }
    arguments = ["--host", host, "--port", str(port), *(name for name in flags if flags[name])]
    for flag, values in repeated.items():
        for value in values or []:
            arguments += [] if value is None else [flag, str(value)]
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
def notebook(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A notebook's name or its number; all are listed."),
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="Folder to copy it into.")] = Path(),
) -> None:
    """Copy a notebook of the workshop, to work in, or list all of them."""
    from manticore.workshop import copy_notebook, notebook_titles

    if name is not None:
        copied = copy_notebook(name, to)
        Console().print(f"{copied}\nOpen it:  jupyter lab {copied}", highlight=False)
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for found, title in notebook_titles().items():
        table.add_row(found, title)
    Console().print(table)


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

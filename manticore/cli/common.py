"""What the commands share: how errors are said, how a run is found and watched, common options."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from manticore.config.run import option_name
from manticore.runs import Run, RunError, get_run
from manticore.runs import runs as list_runs
from manticore.views.wording import explain, in_its_folder

EXPECTED = (ValueError, LookupError, OSError, ModuleNotFoundError, RunError)
"""Errors whose message names the value and the remedy: shown without a traceback."""

INTERRUPTED = 130
"""Exit status of what Ctrl-C has ended before its end."""

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, `last` for the newest.")]
Root = Annotated[
    Path | None,
    typer.Option("--runs-root", help="Folder of all runs. [default: $MANTICORE_RUNS, else ./runs]"),
]
Seed = Annotated[int, typer.Option(help="Decides everything that is random.")]
Name = Annotated[str | None, typer.Option(help="A name for the run.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code from hub repositories.")
]
Watching = Annotated[bool, typer.Option("--watch/--no-watch", help="Show it live.")]
Launching = Annotated[
    bool, typer.Option("--launch/--no-launch", help="Start it; else only make the run.")
]


class Explaining(TyperGroup):
    """Commands whose expected errors end in one clear line, and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            Console(stderr=True).print(f"[bold red]error:[/] {escape(explain(error))}")
            raise typer.Exit(1) from error


def find_run(run_id: str, root: Path | None) -> Run:
    """The run of an id, or the newest for `last`."""
    if run_id != "last":
        return get_run(run_id, root)
    newest = list_runs(root)[:1]
    if not newest:
        raise LookupError("there is no run yet: start one with `manticore demo`")
    return newest[0]


def watch_run(run: Run, *, last: bool = True) -> None:
    """Show a run to its end. Ctrl-C ends the command, and so does a run that fails.

    Args:
        run: At work, or ended.
        last: Whether the command has nothing more to do after it.
    """
    from manticore.views.terminal.watching import watch as show

    if not show(run, Console()):
        if last:
            raise typer.Exit(0)
        typer.echo("What comes after it has not begun: the same command goes on with it.")
        raise typer.Exit(INTERRUPTED)
    if run.status.state in {"failed", "died"}:
        raise typer.Exit(1)


def quiet_progress() -> None:
    """No progress bars of loading and saving weights between our own lines."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def started(run: Run, watching: bool) -> None:
    """Say a new run's id, and watch it if that is wished; or say how it is started."""
    typer.echo(run.id)
    if run.status.state == "stopped":
        typer.echo(
            f"Start it with `manticore resume {run.id}{in_its_folder(run)}`, or with several "
            f"processes: accelerate launch -m manticore.runs.worker {shlex.quote(str(run.folder))}"
        )
    elif watching:
        watch_run(run)


def parsed_options(options: list[str] | None, flag: str = "--set") -> dict[str, str]:
    """NAME=VALUE pairs; whoever takes them reads the values.

    Raises:
        ValueError: A pair without an equals sign, or a name that comes twice.
    """
    pairs = {}
    for option in options or ():
        name, equals, value = option.partition("=")
        name = option_name(name.strip())
        if not equals or not name:
            raise ValueError(
                f"{flag} {option!r} is no NAME=VALUE pair, such as {flag} max_grad_norm=1"
            )
        if name in pairs:
            raise ValueError(f"{flag} gives {name} twice: once is enough")
        pairs[name] = value.strip()
    return pairs

"""What commands share: error messages, finding and watching a run, common parameters."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

if TYPE_CHECKING:
    from manticore.config.text import TextConfig
    from manticore.data import TextData
    from manticore.hybrid import ManticoreForCausalLM
    from manticore.runs import Run

INTERRUPTED = 130
"""Exit status of a command that Ctrl-C has ended before its end."""


def _folder_of_runs(root: Path | None) -> Path | None:
    """Check the folder of runs as soon as it is read."""
    from manticore.store.layout import runs_root

    runs_root(root)
    return root


RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, or `last` for the newest run.")
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--runs-root",
        callback=_folder_of_runs,
        help="Folder of all runs. [default: $MANTICORE_RUNS, else ./runs]",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
Text = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="TEXT",
        help="Text file, folder, data file, hub/dataset:split or bundled:NAME.",
    ),
]
SeqLen = Annotated[int, typer.Option(min=2, help="Tokens per sequence.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code from hub repositories.")
]
Watching = Annotated[bool, typer.Option("--watch/--no-watch", help="Show the run live.")]
Launching = Annotated[
    bool,
    typer.Option(
        "--launch/--no-launch", help="Start the run now (otherwise only create its folder)."
    ),
]


class Explaining(TyperGroup):
    """Commands whose expected errors end in one clear line and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command of a context."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not _is_expected(error):
                raise
            from manticore.views.wording import explain

            Console(stderr=True).print(f"[bold red]error:[/] {escape(explain(error))}")
            raise typer.Exit(1) from error


def _is_expected(error: Exception) -> bool:
    """Whether its message names the value and the remedy, so that a traceback adds nothing."""
    if isinstance(error, ValueError | LookupError | OSError | ModuleNotFoundError):
        return True
    runs = sys.modules.get("manticore.runs.run")  # where it is not imported, it raised nothing
    return runs is not None and isinstance(error, runs.RunError)


def find_run(run_id: str, root: Path | None) -> "Run":
    """The run of an id, or the newest for `last`.

    Raises:
        LookupError: There is no such run.
        ValueError: It is not an id.
    """
    from manticore.runs import get_run, runs

    if run_id != "last":
        return get_run(run_id, root)
    newest = runs(root)[:1]
    if not newest:
        raise LookupError("There is no run yet: start one with `manticore demo`.")
    return newest[0]


def names_run(source: str, root: Path | None) -> bool:
    """Whether an argument names a run rather than a component."""
    from manticore.store.folder import is_run_id, run_folder

    if Path(source).exists():
        return False
    return source == "last" or (is_run_id(source) and run_folder(source, root).is_dir())


def load_described(text: "TextConfig", hybrid: "ManticoreForCausalLM") -> "TextData":
    """A text, with the hybrid's tokenizer.

    Raises:
        ValueError: The hybrid has no tokenizer.
    """
    import manticore as mc

    if hybrid.tokenizer is None:
        raise ValueError("The hybrid has no tokenizer: build it again from its components.")
    return mc.load_text(tokenizer=hybrid.tokenizer, **text.model_dump())


def watch_run(run: "Run", *, last: bool = True) -> None:
    """Show a run to its end. Ctrl-C ends the command, and so does a run that fails.

    Args:
        run: The run, at work or ended.
        last: Whether the command has nothing more to do after it.

    Raises:
        typer.Exit: The run failed, or Ctrl-C ended the watching.
    """
    from manticore.views.terminal.watching import watch as show

    if not show(run, Console()):
        if last:
            raise typer.Exit(0)
        typer.echo("The next stages have not begun: the same command continues with them.")
        raise typer.Exit(INTERRUPTED)
    if run.status.state in {"failed", "died"}:
        raise typer.Exit(1)


def quiet_progress() -> None:
    """Keep the progress bars of loading and saving weights out of our own lines."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def started(run: "Run", watching: bool) -> None:
    """Print a new run's id and watch it, or print how to start it."""
    from manticore.views.wording import in_its_folder

    typer.echo(run.id)
    if run.status.state == "stopped":
        folder = shlex.quote(str(run.folder))
        typer.echo(
            f"Start it with `manticore resume {run.id}{in_its_folder(run)}`, or on several "
            f"processes with `accelerate launch -m manticore.runs.worker {folder}`."
        )
    elif watching:
        watch_run(run)


def parsed_options(options: list[str] | None, flag: str = "--set") -> dict[str, str]:
    """NAME=VALUE pairs as a table of texts.

    Args:
        options: The pairs.
        flag: The flag that they came with, for errors.

    Raises:
        ValueError: A pair has no equals sign, or a name comes twice.
    """
    from manticore.config.run import option_name

    pairs = {}
    for option in options or ():
        name, equals, value = option.partition("=")
        name = option_name(name.strip())
        if not equals or not name:
            raise ValueError(
                f"{flag} {option!r} is not a NAME=VALUE pair, such as {flag} max_grad_norm=1."
            )
        if name in pairs:
            raise ValueError(f"{flag} gives {name} twice. Give it once.")
        pairs[name] = value.strip()
    return pairs

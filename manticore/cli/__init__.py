"""`manticore`: hybrids, runs and the bundled components from a shell.

Every command describes its flags with `--help`. What takes time to import, such as torch, is
imported inside the commands, so that help and listings answer at once.
"""

import logging
from typing import Annotated, Any

import typer

from manticore.cli import lra, machine, mad, recipes, runs, trust, zoo
from manticore.cli.common import Explaining
from manticore.cli.stages import StageCommand
from manticore.names import STAGES, UnknownNameError, choose


class Commands(Explaining):
    """All commands: one for each stage, and those of the modules of this package."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, the stages first."""
        return [*STAGES, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None if there is none."""
        return StageCommand(cmd_name) if cmd_name in STAGES else super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that arguments begin with."""
        try:
            choose(args[0], self.list_commands(ctx), "command")
        except UnknownNameError as error:
            ctx.fail(str(error))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    help="Build, search and explore pretrained hybrid language models.",
)
for module in (machine, runs, trust, recipes, mad, lra):
    app.add_typer(module.commands)
app.add_typer(zoo.commands, name="zoo", rich_help_panel=machine.PANEL)


@app.callback()
def _configure(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log the program's progress.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )

"""Commands on the bundled components."""

import typer
from rich.console import Console

from manticore.cli.common import Explaining

commands = typer.Typer(cls=Explaining, no_args_is_help=True, help="The bundled components.")


@commands.command(name="list")
def zoo_list() -> None:
    """List the bundled components and their perplexity on held-out text."""
    from manticore.components.zoo import zoo_card, zoo_names
    from manticore.views.terminal.tables import zoo_table

    Console().print(zoo_table({name: zoo_card(name) for name in zoo_names()}))


@commands.callback()
def _group() -> None:
    """Keep `list` a subcommand although it is the only one."""

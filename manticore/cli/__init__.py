"""`manticore`: hybrids, runs and the bundled components from a shell.

Every command says with `--help` what it takes. What needs torch is imported inside the commands, so
that help and listings answer at once.
"""

import logging
from typing import Annotated

import typer

from manticore.cli import machine, mad, programming, recipes, runs, stages, zoo
from manticore.cli.common import Explaining

app = typer.Typer(
    cls=Explaining,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    help="Build, search and explore pretrained hybrid language models.",
)
for module in (stages, programming, mad, recipes, runs, machine):
    app.add_typer(module.commands)
app.add_typer(zoo.commands, name="zoo")


@app.callback()
def _configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )


if __name__ == "__main__":
    app()

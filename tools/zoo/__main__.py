"""`python -m tools.zoo`: train a bundled component from its recipe, in a checkout."""

from pathlib import Path
from typing import Annotated

import typer

from manticore.cli.common import Explaining
from tools.zoo.train import train_component

commands = typer.Typer(cls=Explaining, add_completion=False)


@commands.command()
def train(
    name: Annotated[
        str, typer.Argument(help="Name of the component, as `manticore zoo list` shows it.")
    ],
    data: Annotated[Path, typer.Option(help="Folder with the texts of the recipe.")],
    out: Annotated[Path, typer.Option(help="Folder; the component is written to OUT/NAME.")] = Path(
        "zoo"
    ),
    work: Annotated[Path, typer.Option(help="Folder for checkpoints and encoded texts.")] = Path(
        "zoo-work"
    ),
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda. [default: the best one available]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Number of steps, instead of the recipe's.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="bf16 or no. [default: bf16 where the hardware supports it]")
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 200,
) -> None:
    """Train a bundled component from its recipe; the same command again resumes it."""
    folder = train_component(
        name,
        data_dir=data,
        out_dir=out,
        work_dir=work,
        device=device,
        steps=steps,
        precision=precision,
        checkpoint_every=checkpoint_every,
    )
    typer.echo(f"{name} is in {folder}. Set MANTICORE_ZOO={out} to use it as zoo:{name}.")


@commands.callback()
def _program() -> None:
    """How the bundled components are trained."""


if __name__ == "__main__":
    commands()

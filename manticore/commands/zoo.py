"""Commands on the bundled components."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from manticore.commands.common import Explaining

commands = typer.Typer(cls=Explaining, no_args_is_help=True, help="The bundled components.")


@commands.command(name="list")
def zoo_list() -> None:
    """What is bundled, and how well it does on held-out text."""
    from manticore.terminal.tables import zoo_table
    from manticore.zoo import zoo_card, zoo_names

    Console().print(zoo_table({name: zoo_card(name) for name in zoo_names()}))


@commands.command(name="train")
def zoo_train(
    name: Annotated[str, typer.Argument(help="A component's name, as `zoo list` shows it.")],
    data: Annotated[Path, typer.Option(help="Folder with the texts that the recipe names.")],
    out: Annotated[Path, typer.Option(help="The component is written to OUT/NAME.")] = Path("zoo"),
    work: Annotated[Path, typer.Option(help="Checkpoints and encoded texts.")] = Path("zoo-work"),
    device: Annotated[str | None, typer.Option(help="cpu or cuda. [default: the best]")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="bf16 or no. [default: bf16 where the hardware has it]")
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 200,
) -> None:
    """Train a bundled component from its recipe; the same command again goes on where it ended."""
    from manticore.zoo.train import train_component

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
    typer.echo(f"{name} is in {folder}; MANTICORE_ZOO={out} makes it zoo:{name}.")

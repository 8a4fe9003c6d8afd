"""The command that runs the MAD suite."""

from pathlib import Path
from typing import Annotated

import typer

from manticore.cli.common import Explaining
from manticore.cli.suites import PANEL, Device, Dtype, Jobs, Models, Seeds, Tasks, run_suite

commands = typer.Typer(cls=Explaining)


@commands.command(rich_help_panel=PANEL)
def mad(
    preset: Annotated[
        str,
        typer.Option(
            help="Size of the tasks: quick (minutes on two cores), baseline, full or paper."
        ),
    ] = "quick",
    models: Models = None,
    tasks: Tasks = None,
    seeds: Seeds = 1,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each training. [default: the preset's]")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Folder of the results. [default: mad in the folder of runs]"),
    ] = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    dtype: Dtype = "float32",
) -> None:
    """Train models from scratch on MAD tasks, and score them.

    Every finished training is kept: the same command continues where it was interrupted.
    """
    import manticore as mc

    changes = {"dtype": dtype} | ({} if epochs is None else {"epochs": epochs})
    run_suite(
        lambda report: mc.mad_suite(
            preset,
            models,
            tasks,
            seeds=range(seeds),
            folder=folder,
            device=device,
            jobs=jobs,
            report=report,
            **changes,
        )
    )

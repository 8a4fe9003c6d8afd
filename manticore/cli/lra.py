"""The command that runs Long Range Arena."""

from pathlib import Path
from typing import Annotated

import typer

from manticore.cli.common import Explaining
from manticore.cli.suites import PANEL, Device, Dtype, Jobs, Models, Seeds, Tasks, run_suite

commands = typer.Typer(cls=Explaining)


@commands.command(rich_help_panel=PANEL)
def lra(
    preset: Annotated[
        str,
        typer.Option(
            help="Size of the tasks: quick (short, with stand-ins for published data), paper or "
            "path-x (for a GPU)."
        ),
    ] = "quick",
    models: Models = None,
    tasks: Tasks = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data of the tasks that are not generated: stand-in, published (from the hub), or "
            "a folder with the published data of the task. [default: the preset's]"
        ),
    ] = None,
    seeds: Seeds = 1,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of each training. [default: the preset's]"),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Sequences per step. [default: the preset's, by task]"),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(min=1, help="Most examples of each part, to try it out. [default: all]"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Folder of the results. [default: lra in the folder of runs]"),
    ] = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    dtype: Dtype = "float32",
) -> None:
    """Train models from scratch on the tasks of Long Range Arena, and score them.

    Every finished training is kept: the same command continues where it was interrupted. Where the
    data are the published ones, published accuracies are shown, of models of other sizes.
    """
    import manticore as mc
    from manticore.suite.lra import published_scores

    given = {} if steps is None else {"least_steps": steps, "most_steps": steps}
    given |= {} if batch_size is None else {"batch_size": batch_size}
    run_suite(
        lambda report: mc.lra_suite(
            preset,
            models,
            tasks,
            data=data,
            most_examples=examples,
            seeds=range(seeds),
            folder=folder,
            device=device,
            jobs=jobs,
            report=report,
            dtype=dtype,
            **given,
        ),
        published_scores,
    )

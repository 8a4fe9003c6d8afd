"""Commands on whole recipes: run one, sweep over one, and reproduce what was run."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from manticore.cli.common import (
    Explaining,
    Root,
    TrustRemoteCode,
    Watching,
    find_run,
    parsed_options,
    quiet_progress,
    started,
    watch_run,
)

if TYPE_CHECKING:
    from manticore.runs import Run

commands = typer.Typer(cls=Explaining)

PANEL = "Recipes and results"
File = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a bundled recipe.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A value that replaces the recipe's, such as search.steps=50.",
    ),
]


@commands.command(rich_help_panel=PANEL)
def recipe(
    file: File,
    options: Settings = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every stage again.")] = False,
    root: Root = None,
) -> None:
    """Run the stages of a recipe in their order, and show each live.

    Each stage is a run. The same command again keeps the runs that are done, continues the one that
    was interrupted, and repeats what has changed in the recipe.
    """
    quiet_progress()
    import manticore as mc
    from manticore.recipes.yaml import parse_value
    from manticore.views.terminal.recipes import stages_table

    console = Console()

    def watch(run: "Run") -> None:
        console.rule(f"[bold]{run.config.stage}", align="left")
        watch_run(run, last=False)

    settings = {name: parse_value(text) for name, text in parsed_options(options).items()}
    read = mc.Recipe.from_yaml(file).with_options(settings)
    made = mc.run_recipe(read, root=root, fresh=fresh, watch=watch)
    console.rule("[bold]done", align="left")
    console.print(stages_table(made), crop=False)


@commands.command(rich_help_panel=PANEL)
def sweep(
    file: File,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,VALUE", help="Values of an option of the recipe. Repeat it."
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Random seeds, such as 0,1,2. [default: the recipe's]")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster. [default: this machine]")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option(min=1, help="Trials at once. [default: one per two cores]")
    ] = None,
    root: Root = None,
) -> None:
    """Run a recipe with every combination of some values and every seed.

    For example: `manticore sweep r.yaml --vary search.component_lr=1e-4,1e-3 --seeds 0,1,2`. The
    same command again runs only what is not done yet.
    """
    quiet_progress()
    import manticore as mc
    from manticore.recipes.yaml import parse_values
    from manticore.views.terminal.recipes import sweep_table

    varied = {name: parse_values(text) for name, text in parsed_options(vary, "--vary").items()}
    found = mc.sweep(
        file,
        varied,
        None if seeds is None else parse_values(seeds),
        root=root,
        address=address,
        concurrent=concurrent,
        report=_say,
    )
    console = Console()
    console.print(sweep_table(found.by_setting()))
    console.print(found.path, highlight=False, soft_wrap=True)
    failed = [trial for trial in found.trials if trial.error]
    for trial in failed:
        typer.echo(f"{_words(trial)}: {trial.error}", err=True)
    if failed:
        raise typer.Exit(1)


@commands.command(rich_help_panel=PANEL, context_settings={"ignore_unknown_options": True})
def reproduce(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A run (its id, `last`, its folder or its config.json), or the name of a table.",
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGUMENTS]", help="Arguments of the table's own program."),
    ] = None,
    inexact: Annotated[
        bool,
        typer.Option(
            "--inexact", help="Reproduce a run although its text or first weights have changed."
        ),
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
    watching: Watching = True,
    root: Root = None,
) -> None:
    """Repeat a run, or measure a committed table of results again.

    **A run**: a new run repeats it from its `config.json` alone; runs that it started from are
    repeated too where they are gone. On the same kind of CPU losses and mixture weights are equal
    to the last bit.

    **A table**: `benchmarks/NAME.py` of a checkout measures it and states machine, seeds and data.
    `manticore reproduce tables` lists the names.
    """
    from manticore.recipes.tables import reproduce_table, table_names

    if what == "tables":
        typer.echo("\n".join(table_names()))
    elif _is_run(what):
        quiet_progress()
        import manticore as mc

        if arguments:
            raise ValueError(f"A run takes no more arguments: leave out {' '.join(arguments)}.")
        source: Any = find_run(what, root) if what == "last" else what
        again = mc.reproduce(
            source,
            root=root,
            inexact=inexact,
            trust_remote_code=trust_remote_code,
            watch=partial(watch_run, last=False),
        )
        started(again, watching)
    else:
        raise typer.Exit(reproduce_table(what, arguments or []))


def _is_run(what: str) -> bool:
    """Whether a run is meant: `last`, an id, which starts with its time, or a path."""
    path = Path(what)
    return what == "last" or what[:1].isdigit() or path.exists() or len(path.parts) > 1


def _words(trial: Any) -> str:
    setting = ", ".join(f"{name}={value}" for name, value in trial.setting.items())
    return f"{setting or 'the recipe'}, seed {trial.seed}"


def _say(trial: Any) -> None:
    outcome = f"perplexity {trial.perplexity:.3f}" if trial.perplexity else "no perplexity"
    typer.echo(f"{_words(trial)}: {trial.error or outcome}")

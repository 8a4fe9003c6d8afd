"""The commands that program a hybrid, and say how far that is to be trusted."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from manticore.cli.common import (
    Explaining,
    Launching,
    Name,
    Root,
    RunId,
    Seed,
    TrustRemoteCode,
    Watching,
    find_run,
    quiet_progress,
    started,
)
from manticore.cli.stage_options import (
    BatchSize,
    Blocks,
    ComponentLr,
    Components,
    Data,
    Device,
    Dtype,
    MixtureLr,
    Options,
    Projector,
    ProjectorInit,
    ProjectorLr,
    SeqLen,
    Strategy,
    Trackers,
    built,
    checked,
    other_options,
    text_for,
)
from manticore.config.programming import ProgramConfig
from manticore.views.wording import short_task

commands = typer.Typer(cls=Explaining)


FLAGS = ("tasks", "preset", "steps", "strategy", "combine", "from_scratch", "lengths")
FLAGS += ("target_length", "batch_size", "mixture_lr", "projector_lr", "component_lr")


@commands.command(epilog=other_options(ProgramConfig, *FLAGS))
def program(
    components: Components,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="TASK[=SKILL]",
            help="A MAD task and how much it counts; repeat it. [default: all alike]",
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="How large the tasks are: quick, baseline or paper.")
    ] = "quick",
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of each task.")] = 100,
    strategy: Strategy = "darts",
    combine: Annotated[
        str, typer.Option(help="mean: of all tasks by skill; best: of the task done best.")
    ] = "mean",
    lengths: Annotated[
        list[int] | None,
        typer.Option("--length", min=1, help="A length to search tasks at; repeat it."),
    ] = None,
    target_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens of the target's sequences, with --length.")
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch",
            help="Search on untrained blocks of the same shapes, projectors fitted to them.",
        ),
    ] = False,
    blocks: Blocks = None,
    projector: Projector = "linear",
    projector_init: ProjectorInit = "aligned",
    batch_size: BatchSize = 32,
    mixture_lr: MixtureLr = None,
    projector_lr: ProjectorLr = None,
    component_lr: ComponentLr = None,
    options: Options = None,
    name: Name = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
    trackers: Trackers = None,
    launch: Launching = True,
    watching: Watching = True,
    root: Root = None,
) -> None:
    """Program a hybrid: mixture weights from MAD tasks, not from its target.

    Each task is searched on the hybrid's own blocks, and what the tasks find is combined. Then
    `manticore finetune RUN --data TEXT` trains the programmed hybrid on its target.
    """
    import manticore as mc

    flags = {
        "steps": steps,
        "preset": preset,
        "strategy": strategy,
        "combine": combine,
        "from_scratch": from_scratch,
        "lengths": tuple(lengths or ()),
        "target_length": target_length,
        "batch_size": batch_size,
        "mixture_lr": mixture_lr,
        "projector_lr": projector_lr,
        "component_lr": component_lr,
        "tasks": _skills(tasks),
    }
    wanted = checked(ProgramConfig, flags, options)
    hybrid = built(
        components, blocks, projector, projector_init, "mixed", trust_remote_code, seed, root
    )
    run = mc.program(
        hybrid,
        name=name,
        seed=seed,
        device=device,
        dtype=dtype,
        root=root,
        trackers=trackers or (),
        launch=launch,
        **wanted,
    )
    started(run, watching)


@commands.command()
def trust(run: RunId, data: Data, seq_len: SeqLen = 256, root: Root = None) -> None:
    """Say how far a programmed mixture is to be trusted on a text, before training on it."""
    quiet_progress()
    import manticore as mc

    programmed = find_run(run, root).programming()
    text = text_for(data, programmed.hybrid(), seq_len)
    found = mc.trust(programmed, text)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("task", "weight in text", "accuracy", "chance"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for name, result in programmed.metrics()["tasks"].items():
        # Older runs do not have the chance accuracy.
        task = result["setting"]["task"]
        shares = (found.skills.get(task), result["accuracy"], result.get("guessing"))
        table.add_row(short_task(name), *("" if n is None else f"{n:.0%}" for n in shares))
    console = Console()
    console.print(table)
    if found.not_counted:
        names = ", ".join(map(short_task, found.not_counted))
        console.print(f"No weight in any text, as nothing to count is known: {names}.")
    console.print(
        f"The mixture agrees {found.agreement:.2f} with what the tasks that the text asks for "
        "would make, about the blocks in which each component counts more: 1 is the same order, "
        "-1 the reverse, 0 as by chance. Of all orders of the blocks "
        f"{found.by_chance:.0%} agree as well.",
        highlight=False,
    )


def _skills(given: list[str] | None) -> dict[str, str] | None:
    """TASK or TASK=SKILL pairs, a task alone with a skill of 1; whoever takes them reads them."""
    if not given:
        return None
    skills: dict[str, str] = {}
    for pair in given:
        task, equals, skill = pair.partition("=")
        task = task.strip().replace("_", "-")
        if not task or (equals and not skill.strip()):
            raise ValueError(f"--task {pair!r} is neither TASK nor TASK=SKILL: memorization=0.5")
        if task in skills:
            raise ValueError(f"--task names {task} twice: once is enough")
        skills[task] = skill.strip() or "1"
    return skills

"""The command that programs a hybrid."""

from typing import Annotated

import typer

from manticore.commands.common import (
    Explaining,
    Name,
    Root,
    Seed,
    TrustRemoteCode,
    Watching,
    started,
)
from manticore.commands.stage_options import (
    BatchSize,
    Blocks,
    ComponentLr,
    Components,
    Device,
    Dtype,
    MixtureLr,
    Options,
    Projector,
    ProjectorInit,
    ProjectorLr,
    Strategy,
    Trackers,
    built,
    given,
    settings,
)

commands = typer.Typer(cls=Explaining)


@commands.command()
def program(
    components: Components,
    skills: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="TASK[=SKILL]",
            help="A MAD task and how much it counts; repeat it. [default: all six alike]",
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
    watching: Watching = True,
    root: Root = None,
) -> None:
    """Program a hybrid: mixture weights from MAD tasks, not from its target.

    Each task is searched on the hybrid's own blocks, and what the tasks find is combined. Then
    `manticore finetune RUN --data TEXT` trains the programmed hybrid on its target.
    """
    import manticore as mc
    from manticore.mad.config import ProgramConfig

    rates = {"mixture_lr": mixture_lr, "projector_lr": projector_lr, "component_lr": component_lr}
    wanted = {
        "preset": preset,
        "strategy": strategy,
        "combine": combine,
        "lengths": tuple(lengths or ()),
        "target_length": target_length,
        "batch_size": batch_size,
        **given(rates),
        **settings(options),
    }
    tasks = _skills(skills)
    # Now, not after the hybrid has been built and aligned.
    ProgramConfig(**wanted, steps=steps, **given({"tasks": tasks}))
    hybrid = built(
        components, blocks, projector, projector_init, "mixed", trust_remote_code, seed, root
    )
    run = mc.program(
        hybrid,
        tasks,
        steps,
        name=name,
        seed=seed,
        device=device,
        dtype=dtype,
        root=root,
        trackers=trackers or (),
        **wanted,
    )
    started(run, watching)


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

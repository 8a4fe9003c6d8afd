"""Commands that start a stage in the background, and show it live."""

from typing import Annotated

import typer

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
    Head,
    MixtureLr,
    Options,
    Projector,
    ProjectorInit,
    ProjectorLr,
    SeqLen,
    Steps,
    Strategy,
    Trackers,
    built,
    checked,
    other_options,
    text_for,
)
from manticore.config.search import SearchConfig
from manticore.config.training import EvaluateConfig, FinetuneConfig, PretrainConfig

RATES = ("projector_lr", "component_lr")
commands = typer.Typer(cls=Explaining)


@commands.command(
    epilog=other_options(SearchConfig, "strategy", "steps", "batch_size", *RATES, "mixture_lr")
)
def search(
    components: Components,
    data: Data,
    strategy: Strategy = "darts",
    steps: Steps = 300,
    blocks: Blocks = None,
    projector: Projector = "linear",
    projector_init: ProjectorInit = "aligned",
    head: Head = "mixed",
    seq_len: SeqLen = 256,
    batch_size: BatchSize = 8,
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
    """Search the mixture weights of a hybrid, in the background.

    Ctrl-C ends the watching; the run goes on, and `manticore watch` finds it again.
    """
    import manticore as mc

    flags = {"strategy": strategy, "steps": steps, "batch_size": batch_size}
    flags |= {"mixture_lr": mixture_lr, "projector_lr": projector_lr, "component_lr": component_lr}
    wanted = checked(SearchConfig, flags, options)
    hybrid = built(
        components, blocks, projector, projector_init, head, trust_remote_code, seed, root
    )
    run = mc.search(
        hybrid,
        text_for(data, hybrid, seq_len),
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


@commands.command(
    name="pretrain-projectors",
    epilog=other_options(PretrainConfig, "steps", "batch_size", *RATES),
)
def pretrain_projectors(
    components: Components,
    data: Data,
    steps: Steps = 300,
    blocks: Blocks = None,
    projector: Projector = "linear",
    projector_init: ProjectorInit = "aligned",
    head: Head = "mixed",
    seq_len: SeqLen = 256,
    batch_size: BatchSize = 8,
    projector_lr: ProjectorLr = None,
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
    """Train the projectors of a hybrid on general text, its components frozen."""
    import manticore as mc

    flags = {"steps": steps, "batch_size": batch_size, "projector_lr": projector_lr}
    wanted = checked(PretrainConfig, flags, options)
    hybrid = built(
        components, blocks, projector, projector_init, head, trust_remote_code, seed, root
    )
    run = mc.pretrain_projectors(
        hybrid,
        text_for(data, hybrid, seq_len),
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


@commands.command(epilog=other_options(FinetuneConfig, "steps", "batch_size", *RATES))
def finetune(
    run: RunId,
    data: Data,
    steps: Steps = 300,
    seq_len: SeqLen = 256,
    batch_size: BatchSize = 8,
    projector_lr: ProjectorLr = None,
    component_lr: ComponentLr = None,
    lora_rank: Annotated[
        int | None, typer.Option(min=1, help="Train adapters of this rank instead.")
    ] = None,
    options: Options = None,
    name: Name = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "float32",
    trackers: Trackers = None,
    launch: Launching = True,
    watching: Watching = True,
    root: Root = None,
) -> None:
    """Train a hybrid at the mixture that a search or programming has found.

    It starts from the weights before the search; after another stage, from those that stage made.
    """
    quiet_progress()
    import manticore as mc

    flags = {"steps": steps, "batch_size": batch_size}
    flags |= {"projector_lr": projector_lr, "component_lr": component_lr}
    flags |= {} if lora_rank is None else {"lora": {"rank": lora_rank}}
    wanted = checked(FinetuneConfig, flags, options)
    start = find_run(run, root).hybrid_to_finetune()
    tuned = mc.finetune(
        start,
        text_for(data, start, seq_len),
        name=name,
        seed=seed,
        device=device,
        dtype=dtype,
        root=root,
        trackers=trackers or (),
        launch=launch,
        **wanted,
    )
    started(tuned, watching)


@commands.command(epilog=other_options(EvaluateConfig, "batch_size", "eval_batches"))
def evaluate(
    run: RunId,
    data: Data,
    seq_len: SeqLen = 256,
    batch_size: BatchSize = 8,
    batches: Annotated[
        int | None, typer.Option(min=1, help="Of held-out text. [default: all]")
    ] = None,
    options: Options = None,
    name: Name = None,
    device: Device = "auto",
    trackers: Trackers = None,
    launch: Launching = True,
    watching: Watching = True,
    root: Root = None,
) -> None:
    """Measure the hybrid that a run has made beside each of its components."""
    quiet_progress()
    import manticore as mc

    wanted = checked(EvaluateConfig, {"batch_size": batch_size, "eval_batches": batches}, options)
    hybrid = find_run(run, root).hybrid()
    measured = mc.evaluate(
        hybrid,
        text_for(data, hybrid, seq_len),
        name=name,
        device=device,
        root=root,
        trackers=trackers or (),
        launch=launch,
        **wanted,
    )
    started(measured, watching)

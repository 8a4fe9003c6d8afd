"""Commands that start a stage in the background, and show it live."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from manticore.commands.common import (
    Explaining,
    Name,
    Root,
    RunId,
    Seed,
    TrustRemoteCode,
    Watching,
    find_run,
    parsed_options,
    quiet_progress,
    started,
)

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

commands = typer.Typer(cls=Explaining)

Components = Annotated[
    list[str], typer.Argument(help="One to four of: zoo:NAME, a folder, a hub id.")
]
Data = Annotated[str, typer.Option(help="Text file, folder, hub/dataset:split, bundled:NAME.")]
Steps = Annotated[int, typer.Option(min=1, help="Optimizer steps.")]
Blocks = Annotated[
    int | None, typer.Option(help="Blocks to cut into. [default: the shallowest depth]")
]
Projector = Annotated[str, typer.Option(help="linear, identity or mlp.")]
ProjectorInit = Annotated[str, typer.Option(help="aligned, identity or random.")]
Head = Annotated[str, typer.Option(help="mixed or new.")]
SeqLen = Annotated[int, typer.Option(min=2, help="Tokens of a sequence.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Sequences of a step.")]
ProjectorLr = Annotated[float | None, typer.Option(help="Of projectors; 0 freezes.")]
ComponentLr = Annotated[float | None, typer.Option(help="Of components; 0 freezes.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
Trackers = Annotated[
    list[str] | None,
    typer.Option("--track", help="Log to tensorboard, trackio or wandb too; repeat it."),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other option of the stage; repeat it."),
]


@commands.command()
def search(
    components: Components,
    data: Data,
    strategy: Annotated[
        str,
        typer.Option(help="darts, darts-bilevel, gaea, dash, probe, random, sweep or fixed."),
    ] = "darts",
    steps: Steps = 300,
    blocks: Blocks = None,
    projector: Projector = "linear",
    projector_init: ProjectorInit = "aligned",
    head: Head = "mixed",
    seq_len: SeqLen = 256,
    batch_size: BatchSize = 8,
    mixture_lr: Annotated[float | None, typer.Option(help="Of the mixture weights.")] = None,
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
    """Search the mixture weights of a hybrid, in the background.

    Ctrl-C ends the watching; the run goes on, and `manticore watch` finds it again.
    """
    import manticore as mc

    hybrid = _build(components, blocks, projector, projector_init, head, trust_remote_code, seed)
    rates = {"mixture_lr": mixture_lr, "projector_lr": projector_lr, "component_lr": component_lr}
    run = mc.search(
        hybrid,
        _text(data, hybrid, seq_len, seed),
        strategy,
        steps,
        name=name,
        seed=seed,
        device=device,
        dtype=dtype,
        root=root,
        trackers=trackers or (),
        batch_size=batch_size,
        **_given(rates),
        **parsed_options(options),
    )
    started(run, watching)


@commands.command(name="pretrain-projectors")
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
    watching: Watching = True,
    root: Root = None,
) -> None:
    """Train the projectors of a hybrid on general text, its components frozen."""
    import manticore as mc

    hybrid = _build(components, blocks, projector, projector_init, head, trust_remote_code, seed)
    run = mc.pretrain_projectors(
        hybrid,
        _text(data, hybrid, seq_len, seed),
        steps,
        name=name,
        seed=seed,
        device=device,
        dtype=dtype,
        root=root,
        trackers=trackers or (),
        batch_size=batch_size,
        **_given({"projector_lr": projector_lr}),
        **parsed_options(options),
    )
    started(run, watching)


@commands.command()
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
    watching: Watching = True,
    root: Root = None,
) -> None:
    """Train a search's hybrid again from the original weights, at the mixture that it found."""
    quiet_progress()
    import manticore as mc

    start = find_run(run, root).hybrid_to_finetune()
    rates = {"projector_lr": projector_lr, "component_lr": component_lr}
    lora = {} if lora_rank is None else {"lora": {"rank": lora_rank}}
    tuned = mc.finetune(
        start,
        _text(data, start, seq_len, seed),
        steps,
        name=name,
        seed=seed,
        device=device,
        dtype=dtype,
        root=root,
        trackers=trackers or (),
        batch_size=batch_size,
        **_given(rates),
        **lora,
        **parsed_options(options),
    )
    started(tuned, watching)


@commands.command()
def evaluate(
    run: RunId,
    data: Data,
    seq_len: SeqLen = 256,
    batch_size: BatchSize = 8,
    batches: Annotated[
        int | None, typer.Option(min=1, help="Of held-out text. [default: all]")
    ] = None,
    name: Name = None,
    device: Device = "auto",
    trackers: Trackers = None,
    watching: Watching = True,
    root: Root = None,
) -> None:
    """Measure the hybrid that a run has made beside each of its components."""
    quiet_progress()
    import manticore as mc

    hybrid = find_run(run, root).hybrid()
    measured = mc.evaluate(
        hybrid,
        _text(data, hybrid, seq_len, 0),
        name=name,
        device=device,
        root=root,
        trackers=trackers or (),
        batch_size=batch_size,
        eval_batches=batches,
    )
    started(measured, watching)


def _build(
    components: list[str],
    blocks: int | None,
    projector: str,
    projector_init: str,
    head: str,
    trust_remote_code: bool,
    seed: int,
) -> "ManticoreForCausalLM":
    """A hybrid, with a word on every vocabulary that had to be transplanted."""
    quiet_progress()
    import manticore as mc

    hybrid = mc.build_hybrid(
        components,
        blocks,
        projector=projector,
        projector_init=projector_init,
        head=head,
        trust_remote_code=trust_remote_code,
        seed=seed,
    )
    for component, report in (hybrid.transplants or {}).items():
        share = f"{100 * report.copied_share:.0f}%"
        typer.echo(f"{component}: {share} of the hybrid's vocabulary copied, the rest averaged")
    return hybrid


def _text(source: str, hybrid: "ManticoreForCausalLM", seq_len: int, seed: int) -> Any:
    import manticore as mc

    return mc.load_text(source, tokenizer=hybrid.tokenizer, seq_len=seq_len, seed=seed)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

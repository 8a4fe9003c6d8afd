"""What the commands of stages share: their options, and how hybrid and text are made of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from manticore.cli.common import find_run, parsed_options, quiet_progress
from manticore.store.folder import is_run_id, run_folder

if TYPE_CHECKING:
    from manticore.data import TextData
    from manticore.hybrid import ManticoreForCausalLM

Components = Annotated[
    list[str],
    typer.Argument(help="One to four of: zoo:NAME, a folder, a hub id. Or one RUN, to go on with."),
]
Data = Annotated[str, typer.Option(help="Text file, folder, hub/dataset:split, bundled:NAME.")]
Steps = Annotated[int, typer.Option(min=1, help="Optimizer steps.")]
Blocks = Annotated[
    int | None, typer.Option(help="Blocks to cut into. [default: the shallowest depth]")
]
Projector = Annotated[str, typer.Option(help="linear, identity or mlp.")]
ProjectorInit = Annotated[str, typer.Option(help="aligned, identity or random.")]
Strategy = Annotated[
    str, typer.Option(help="darts, darts-bilevel, gaea, dash, probe, random, sweep or fixed.")
]
Head = Annotated[str, typer.Option(help="mixed or new.")]
SeqLen = Annotated[int, typer.Option(min=2, help="Tokens of a sequence.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Sequences of a step.")]
MixtureLr = Annotated[float | None, typer.Option(help="Of the mixture weights.")]
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


_NEW_HYBRID = ("linear", "aligned", "mixed")
"""Projectors, their start and head, where nothing else is asked for."""


def built(
    components: list[str],
    blocks: int | None,
    projector: str,
    projector_init: str,
    head: str,
    trust_remote_code: bool,
    seed: int,
    root: Path | None,
) -> "ManticoreForCausalLM":
    """A hybrid, with a word on every vocabulary that had to be transplanted; or a run's.

    Raises:
        ValueError: A run together with what only a new hybrid can be given.
    """
    quiet_progress()
    import manticore as mc

    if len(components) == 1 and _is_run(components[0], root):
        if blocks or (projector, projector_init, head) != _NEW_HYBRID or trust_remote_code:
            raise ValueError(
                f"the hybrid of {components[0]} is what it is: leave out --blocks, --projector, "
                "--projector-init, --head and --trust-remote-code, or name components"
            )
        return find_run(components[0], root).hybrid()
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
        typer.echo(f"{component}: {report}")
    return hybrid


def _is_run(source: str, root: Path | None) -> bool:
    """Whether it names a run, and not a component."""
    if Path(source).exists():
        return False
    return source == "last" or (is_run_id(source) and run_folder(source, root).is_dir())


def text_for(source: str, hybrid: "ManticoreForCausalLM", seq_len: int) -> "TextData":
    """A text, with the hybrid's tokenizer.

    The same part of it is held out whatever the seed of a run, so that no run measures on what
    another has learned from.
    """
    import manticore as mc

    return mc.load_text(source, tokenizer=hybrid.tokenizer, seq_len=seq_len)


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The values that are there."""
    return {name: value for name, value in values.items() if value is not None}


def other_options(config: type[BaseModel], *flags: str) -> str:
    """The end of a command's help: what `--set` takes.

    Args:
        config: What the options are fields of.
        flags: Those that have flags of their own.
    """
    names = ", ".join(f"`{name}`" for name in config.model_fields if name not in flags)
    return f"With --set: {names}."


def checked(
    config: type[BaseModel], flags: dict[str, Any], options: list[str] | None
) -> dict[str, Any]:
    """A stage's options: those that have flags, and what `--set` gives.

    Checked at once, and not after a hybrid has been built and aligned. Lists and tables are as YAML
    writes them, all else as it stands.

    Args:
        config: What the options are fields of.
        flags: Those that have flags of their own, None where a flag is not given.
        options: NAME=VALUE pairs.

    Raises:
        ValueError: An option that cannot be, or no YAML; a pair without an equals sign; a name that
            comes twice, or has a flag.
    """
    from manticore.recipes.recipe import parse_value

    pairs = parsed_options(options)
    for name in pairs:
        if name in flags:
            raise ValueError(f"--set {name}: there is a flag for that, see --help")
    wanted = given(flags) | {
        name: parse_value(value) if value[:1] in ("[", "{") else value
        for name, value in pairs.items()
    }
    config(**wanted)
    return wanted

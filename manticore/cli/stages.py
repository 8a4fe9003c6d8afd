"""One command for each stage: it builds or finds a hybrid, starts the run and shows it live."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from manticore.cli.common import (
    Launching,
    Root,
    Watching,
    find_run,
    load_described,
    names_run,
    parsed_options,
    quiet_progress,
    started,
)
from manticore.names import STAGES

if TYPE_CHECKING:
    from manticore.cli.flags import Flags
    from manticore.config.run import HybridConfig, RunSettings
    from manticore.config.text import TextConfig
    from manticore.hybrid import ManticoreForCausalLM
    from manticore.runs import Run

IN_THE_BACKGROUND = (
    "The run works in the background: Ctrl-C only ends the watching, and `manticore watch` finds "
    "the run again."
)
_START = {
    "components": Annotated[
        list[str],
        typer.Argument(
            metavar="COMPONENT",
            help="One to four components: zoo:NAME, a folder or a hub id. Or one run's id, or "
            "`last`, to continue from its hybrid.",
        ),
    ],
    "run": Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, or `last` for the newest run.")
    ],
}
_Others = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any option of the stage by its name in Python, also one without a flag; lists and "
        "tables as YAML writes them. Repeat it for several.",
    ),
]
_OWN = {
    "others": (_Others, None),
    "launch": (Launching, True),
    "watching": (Watching, True),
    "root": (Root, None),
}
"""Parameters of every stage's command that are not options: annotation and default."""


class StageCommand(TyperCommand):
    """The command of a stage. Its flags are made when they are first needed.

    Args:
        stage: Name of the stage.
    """

    def __init__(self, stage: str) -> None:
        entry = STAGES[stage]
        super().__init__(
            stage,
            help="\n\n".join(filter(None, [entry.about, entry.details, IN_THE_BACKGROUND])),
            short_help=entry.about,
            rich_markup_mode="markdown",
            rich_help_panel="Stages",
        )

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's parameters."""
        if self.callback is None:
            alone = typer.Typer(add_completion=False)
            alone.command()(_function(str(self.name)))
            made = typer.main.get_command(alone)
            self.params, self.callback = made.params, made.callback
        return super().get_params(ctx)


def _function(stage: str) -> Callable[..., None]:
    """The function of a stage's command; its signature says which flags there are."""
    from manticore.cli.flags import Flags
    from manticore.config.run import HybridConfig, RunSettings
    from manticore.config.text import TextConfig

    entry = STAGES[stage]
    model = entry.load_options()
    skip = {*RunSettings.model_fields, "components", "mixture_weights"}
    text = Flags(TextConfig) if entry.needs_text else Flags()
    hybrid = Flags(HybridConfig, skip) if entry.starts_from == "components" else Flags()
    options = Flags(model)
    settings = Flags(RunSettings, ("seed", "dtype") if entry.makes == "metrics" else ())

    def command(
        context: typer.Context,
        start: list[str] | str,
        others: list[str] | None,
        root: Path | None,
        launch: bool,
        watching: bool,
        **_: Any,  # the flags of options, read from the context, which knows which were given
    ) -> None:
        # What is wrong in itself is refused at once, and not after a hybrid has been built.
        chosen = model(**_with_others(options.given(context), others))
        wanted = settings.given(context)
        everywhere = RunSettings(**wanted)
        described = TextConfig(**text.given(context)) if entry.needs_text else None
        source: Run | HybridConfig | None = _run(start, hybrid.names_given(context), root)
        if source is None:
            source = HybridConfig(components=tuple(start), **hybrid.given(context), **wanted)
        if launch:
            from manticore.runs.spare import SPARE

            SPARE.warm()  # it imports while the hybrid is built
        _check_machine(everywhere, described, launch)
        # From here on torch is needed, which bad options need not wait for.
        from manticore.runs.from_hybrid import hybrid_of, start_stage

        quiet_progress()
        built = _built(source) if isinstance(source, HybridConfig) else hybrid_of(stage, source)
        data = None if described is None else load_described(described, built)
        started(start_stage(stage, built, data, chosen, root, launch, **wanted), watching)

    vars(command)["__signature__"] = _signature(entry.starts_from, text, hybrid, options, settings)
    return command


def _signature(starts_from: str, *groups: "Flags") -> inspect.Signature:
    """The parameters of a stage's command, as typer reads them."""
    first = {"context": typer.Context, "start": _START[starts_from]}
    return inspect.Signature(
        [
            *(_parameter(name, kind) for name, kind in first.items()),
            *(flag for group in groups for flag in group.parameters),
            *(_parameter(name, kind, default) for name, (kind, default) in _OWN.items()),
        ]
    )


def _parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def _with_others(given: dict[str, Any], others: list[str] | None) -> dict[str, Any]:
    """The options of flags and of `--set`.

    Raises:
        ValueError: A pair without an equals sign, a value that is not YAML, or an option that is
            given twice.
    """
    pairs = parsed_options(others)
    if twice := [name for name in pairs if name in given]:
        raise ValueError(f"{twice[0]} is given by its flag and by --set. Give it once.")
    if not pairs:
        return given
    from manticore.recipes.yaml import parse_value

    values = {
        name: parse_value(value) if value[:1] in ("[", "{") else value
        for name, value in pairs.items()
    }
    return given | values


def _run(start: list[str] | str, hybrid_flags: list[str], root: Path | None) -> "Run | None":
    """The run to continue from; None where components are named.

    Raises:
        ValueError: A flag that only a new hybrid can be given, with a run.
        LookupError: There is no such run.
    """
    if isinstance(start, str):
        return find_run(start, root)
    if len(start) > 1 or not names_run(start[0], root):
        return None
    if hybrid_flags:
        raise ValueError(
            f"Run {start[0]} has its hybrid already: leave out {', '.join(hybrid_flags)}, or name "
            "components instead of the run."
        )
    return find_run(start[0], root)


def _check_machine(settings: "RunSettings", text: "TextConfig | None", launch: bool) -> None:
    """Refuse what this machine does not have: a device, a tracker, a text.

    Args:
        settings: Settings of the run.
        text: Its text, if it has one.
        launch: Whether the run starts here; otherwise its device may be another machine's.

    Raises:
        ValueError: There is no such device, or the text's name means nothing.
        ModuleNotFoundError: A tracker is not installed.
        FileNotFoundError: There is no such text.
    """
    from manticore.data.resolve import check_source
    from manticore.train.devices import find_device
    from manticore.train.tracking import require_trackers

    if launch:
        find_device(settings.device)
    require_trackers(settings.trackers)
    if text is not None:
        check_source(text.source)


def _built(config: "HybridConfig") -> "ManticoreForCausalLM":
    """A new hybrid, with a word on every vocabulary that had to be transplanted."""
    import manticore as mc

    hybrid = mc.build_hybrid(
        list(config.components),
        config.n_blocks,
        projector=config.projector,
        projector_init=config.projector_init,
        head=config.head,
        trust_remote_code=config.trust_remote_code,
        seed=config.seed,
    )
    for component, report in (hybrid.transplants or {}).items():
        typer.echo(f"{component}: {report}")
    return hybrid

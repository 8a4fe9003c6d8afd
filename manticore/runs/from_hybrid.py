"""Starting a stage on a hybrid at hand: what the verbs, the commands and recipes have in common."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from manticore.config.options import Options
from manticore.config.run import RunConfig, RunSettings
from manticore.names import STAGES
from manticore.runs import Run, start_run

if TYPE_CHECKING:
    from manticore.data import TextData
    from manticore.hybrid import ManticoreForCausalLM


def start_stage(
    stage: str,
    start: "ManticoreForCausalLM | Run",
    data: "TextData | None",
    options: Options | Mapping[str, Any],
    root: str | os.PathLike[str] | None = None,
    launch: bool = True,
    **settings: Any,
) -> Run:
    """Start any stage, also one that was added to `STAGES`: what the verbs have in common.

    All arguments are checked before the run's folder is created.

    Args:
        stage: Name of the stage.
        start: The hybrid to start from, or a run. A stage such as `finetune` takes the mixture
            weights from a run and all other weights from before it; others take its hybrid.
        data: The text; None for a stage that needs none.
        options: Options of the stage.
        root: Folder of all runs; by default `$MANTICORE_RUNS`, else `./runs`.
        launch: Whether to start the run now; otherwise only its folder is created.
        **settings: Fields of `RunSettings`, and `recipe`, as `RunConfig` has them.

    Returns:
        The run.

    Raises:
        TypeError: `start` or `data` is something else.
        ValueError: The stage, an option or a setting is unknown or has an impossible value.
    """
    entry = STAGES.find(stage)
    _check_start(start)
    if not isinstance(options, Options):
        options = cast("Options", entry.load_options()(**options))
    RunSettings(**{name: settings[name] for name in settings if name in RunSettings.model_fields})
    if entry.needs_text:
        check_text(data)
    hybrid = hybrid_of(stage, start)
    described: dict[str, Any] = {
        "components": hybrid.config.component_sources,
        "n_blocks": hybrid.config.n_blocks,
        "projector": hybrid.config.projector,
        "head": hybrid.config.head,
        "gate": hybrid.config.gate,
        "mixture_weights": hybrid.mixture_weights.tolist(),
        "data": {} if data is None else data.spec,
    }
    config = RunConfig(stage=stage, options=options, **described, **_as_built(hybrid), **settings)
    return start_run(config, hybrid=hybrid, root=root, launch=launch)


def _check_start(start: object) -> None:
    """Refuse what is neither a hybrid nor a run."""
    from manticore.hybrid import ManticoreForCausalLM, ManticoreForSequenceClassification

    if isinstance(start, ManticoreForSequenceClassification):
        raise TypeError(
            f"{start!r:.80} classifies, and stages take hybrids that write: train it with "
            "transformers.Trainer."
        )
    if not isinstance(start, ManticoreForCausalLM | Run):
        raise TypeError(
            f"{start!r:.80} is not a hybrid. Pass one from mc.build_hybrid or run.hybrid(), or a "
            "run."
        )


def check_text(data: object) -> None:
    """Refuse what is not a text.

    Raises:
        TypeError: It is something else; the message says what to pass.
    """
    from manticore.data import TextData

    if not isinstance(data, TextData):
        raise TypeError(
            f"data={data!r:.80} is not a text. Pass one from mc.load_text, with "
            "tokenizer=hybrid.tokenizer."
        )


def hybrid_of(stage: str, start: "ManticoreForCausalLM | Run") -> "ManticoreForCausalLM":
    """The hybrid that a stage starts from: the one given, or the one that it takes from a run."""
    if not isinstance(start, Run):
        return start
    return start.hybrid_to_finetune() if STAGES[stage].original else start.hybrid()


def _as_built(hybrid: "ManticoreForCausalLM") -> dict[str, Any]:
    """Fields of `RunConfig` that a hybrid itself does not hold, where its origin does."""
    origin = cast("dict[str, Any]", hybrid.origin)
    parent = origin.get("parent")
    made = parent["config"] if parent else origin.get("built", {})
    return {name: made[name] for name in ("projector_init", "trust_remote_code") if name in made}

"""The verbs of the public face that start and find runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

import manticore.evaluate  # noqa: F401  before the function of this name takes its place
from manticore.config.programming import ProgramConfig
from manticore.config.training import EvaluateConfig, FinetuneConfig, PretrainConfig
from manticore.names import STAGES
from manticore.runs import Run, RunConfig, get_run, start_run
from manticore.runs import runs as list_runs
from manticore.search import SearchConfig

if TYPE_CHECKING:
    from manticore.data import TextData
    from manticore.hybrid import ManticoreForCausalLM
    from manticore.programming.trust import Trust

__all__ = [
    "Run",
    "evaluate",
    "finetune",
    "get_run",
    "pretrain_projectors",
    "program",
    "runs",
    "search",
    "trust",
]


def search(
    hybrid: "ManticoreForCausalLM",
    data: "TextData",
    strategy: str = "darts",
    steps: int = 300,
    *,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float32",
    root: str | Path | None = None,
    trackers: Sequence[str] = (),
    launch: bool = True,
    **options: Any,
) -> Run:
    """Search the mixture weights of a hybrid, in a process of its own (paper section 3.3).

    Args:
        hybrid: Where to start from; it is saved with the run and stays as it is here.
        data: Text, from `load_text` with the hybrid's tokenizer.
        strategy: How mixture weights are parameterised and updated: `darts`, `darts-bilevel`,
            `gaea`, `dash`, `probe`, `random`, `sweep` or `fixed`.
        steps: Optimizer steps.
        name: A name for people.
        seed: Decides the order of the text.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `float32`, or `bfloat16` or `float16` for mixed precision.
        root: Folder of runs; `$MANTICORE_RUNS` or `./runs` if not given.
        trackers: Where events are logged too: `tensorboard` (files in the run's folder), `trackio`,
            `wandb`.
        launch: False only makes the run, for `run.resume()`, or for several processes:
            `accelerate launch -m manticore.runs.worker FOLDER`.
        options: Any other field of `SearchConfig`.

    Returns:
        The run, at once: `run.wait()` for its end, `run.hybrid()` for what it made.

    Raises:
        ValueError: An unknown or impossible option (the message lists what there is).
        ModuleNotFoundError: A tracker that is not installed.
    """
    settings = SearchConfig(strategy=strategy, steps=steps, **options)
    fields = {"name": name, "seed": seed, "device": device, "dtype": dtype, "trackers": trackers}
    return start_stage("search", hybrid, data, settings, root, launch, **fields)


def pretrain_projectors(
    hybrid: "ManticoreForCausalLM",
    data: "TextData",
    steps: int = 300,
    *,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float32",
    root: str | Path | None = None,
    trackers: Sequence[str] = (),
    launch: bool = True,
    **options: Any,
) -> Run:
    """Train the projectors, and a new head, on general text with the components frozen.

    Arguments, result and errors as for `search`; `options` are fields of `PretrainConfig`.
    """
    settings = PretrainConfig(steps=steps, **options)
    fields = {"name": name, "seed": seed, "device": device, "dtype": dtype, "trackers": trackers}
    return start_stage("pretrain-projectors", hybrid, data, settings, root, launch, **fields)


def program(
    hybrid: "ManticoreForCausalLM",
    tasks: Mapping[str, float] | Sequence[str] | None = None,
    steps: int = 100,
    *,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float32",
    root: str | Path | None = None,
    trackers: Sequence[str] = (),
    launch: bool = True,
    **options: Any,
) -> Run:
    """Program a hybrid: mixture weights from MAD tasks, not from its target (paper section 3.3).

    The mixture weights are searched on each task, on the hybrid's own blocks and projectors with
    fresh embeddings and head; then they are combined. `run.hybrid()` is the hybrid as it was, at
    the combined mixture weights; `mc.finetune(run, data)` trains it on its target, from weights
    that no search has trained.

    Args:
        hybrid: What is to be programmed; it is saved with the run and stays as it is here.
        tasks: Skills: how much each task counts; all of the preset alike if not given.
        steps: Optimizer steps of each task's search.
        name: A name for people, like the arguments that follow as for `search`.
        options: Any other field of `ProgramConfig`: `preset`, `settings`, `combine`, `strategy`,
            `from_scratch`, and `lengths` with `target_length`, which make the mixture weights a
            function of the length of the target's sequences.

    Returns:
        The run, at once; `run.metrics()` has what each task found.

    Raises:
        ValueError: An unknown task or an impossible option.
        ModuleNotFoundError: A tracker that is not installed.
    """
    chosen = {} if tasks is None else {"tasks": tasks}
    settings = ProgramConfig(steps=steps, **chosen, **options)
    fields = {"name": name, "seed": seed, "device": device, "dtype": dtype, "trackers": trackers}
    return start_stage("program", hybrid, None, settings, root, launch, **fields)


def trust(run: Run, data: "TextData") -> "Trust":
    """How far what a programming run has found is to be trusted on a text: no training.

    Args:
        run: Of programming, or one that went on from it, such as its fine-tuning.
        data: The text.

    Returns:
        `agreement`, from -1 to 1, of the run's mixture weights with those that its tasks make when
        they have their weights in the text; the share of orders of blocks that agree as well
        `by_chance`; the weight of each task in the text (`skills`), by counting; and the tasks that
        are `not_counted`, as nothing to count is known for them.

    Raises:
        FileNotFoundError: The run is not over.
        ValueError: No programming came before it, or one with a single task, or with none that has
            a weight in the text.
    """
    from manticore.programming.trust import trust_on

    run = run.programming()
    metrics = run.metrics()
    made = metrics["mixture_weights"]
    return trust_on(metrics["tasks"], made, data.train, data.vocabulary)


def finetune(
    start: "Run | ManticoreForCausalLM",
    data: "TextData",
    steps: int = 300,
    *,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float32",
    root: str | Path | None = None,
    trackers: Sequence[str] = (),
    launch: bool = True,
    **options: Any,
) -> Run:
    """Train everything but the mixture weights, which stay as they are (paper section 3.3).

    Args:
        start: A run of `search` or `program`: then its mixture weights are taken, and everything
            else starts again from the component weights and the projectors that no search has
            trained, as in the paper. Or a hybrid, or a run of another stage, which goes on from the
            weights that it has.
        data: As for `search`, like the arguments that follow.
        options: Any other field of `FinetuneConfig`; `lora={"rank": 8}` trains adapters by peft.

    Raises:
        RunError: The run is still at work.
        KeyError: It went on with what a search had made, which is not there any more.
        ValueError, ModuleNotFoundError: As for `search`.
    """
    hybrid = start.hybrid_to_finetune() if isinstance(start, Run) else start
    settings = FinetuneConfig(steps=steps, **options)
    fields = {"name": name, "seed": seed, "device": device, "dtype": dtype, "trackers": trackers}
    return start_stage("finetune", hybrid, data, settings, root, launch, **fields)


def evaluate(
    hybrid: "ManticoreForCausalLM",
    data: "TextData",
    *,
    name: str | None = None,
    device: str = "auto",
    root: str | Path | None = None,
    trackers: Sequence[str] = (),
    launch: bool = True,
    **options: Any,
) -> Run:
    """Measure a hybrid beside each of its components, on the held-out part of a text.

    Arguments, result and errors as for `search`; `options` are fields of `EvaluateConfig`. The
    numbers are in `run.metrics()`.
    """
    settings = EvaluateConfig(**options)
    fields = {"name": name, "device": device, "trackers": trackers}
    return start_stage("evaluate", hybrid, data, settings, root, launch, **fields)


def runs(root: str | Path | None = None) -> list[Run]:
    """All runs of a folder, the newest first; `$MANTICORE_RUNS` or `./runs` if not given."""
    return list_runs(root)


def start_stage(
    stage: str,
    hybrid: "ManticoreForCausalLM",
    data: "TextData | None",
    options: BaseModel,
    root: str | Path | None,
    launch: bool = True,
    **fields: Any,
) -> Run:
    """Start a stage on a hybrid at hand: what the verbs above have in common.

    Args:
        data: None for a stage that needs no text.
        options: Of the stage.
        root: See `search`, like `launch`.
        fields: Of `RunConfig`, that neither the hybrid, nor the text, nor the options tell.

    Raises:
        TypeError: What was passed as a hybrid or a text is not one.
    """
    _check_kinds(stage, hybrid, data)
    config = RunConfig(
        stage=stage,
        components=tuple(hybrid.config.component_sources),
        n_blocks=hybrid.config.n_blocks,
        projector=hybrid.config.projector,
        head=hybrid.config.head,
        mixture_weights=hybrid.mixture_weights.tolist(),
        data={} if data is None else data.spec,
        options=options,
        **_as_built(hybrid),
        **fields,
    )
    return start_run(config, hybrid=hybrid, root=root, launch=launch)


def _check_kinds(stage: str, hybrid: object, data: object) -> None:
    """Refuse what is not a hybrid, or not a text where the stage needs one."""
    from manticore.data import TextData

    if not hasattr(getattr(hybrid, "config", None), "component_sources"):
        raise TypeError(
            f"{hybrid!r:.80} is not a hybrid. Pass one from mc.build_hybrid or run.hybrid()."
        )
    if STAGES[stage].needs_text and not isinstance(data, TextData):
        raise TypeError(
            f"data={data!r:.80} is not a text. Pass one from mc.load_text, with "
            "tokenizer=hybrid.tokenizer."
        )


def _as_built(hybrid: "ManticoreForCausalLM") -> dict[str, Any]:
    """Fields of `RunConfig` that a hybrid itself cannot tell, where its origin can."""
    parent = hybrid.origin.get("parent")
    made = parent["config"] if parent else hybrid.origin.get("built", {})
    return {name: made[name] for name in ("projector_init", "trust_remote_code") if name in made}

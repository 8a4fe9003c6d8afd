"""The verbs of the public face: they start and find runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.runs import Run, get_run
from manticore.runs import runs as list_runs
from manticore.runs.from_hybrid import check_text, start_stage

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
    "start_stage",
    "trust",
]


def search(
    hybrid: "ManticoreForCausalLM | Run",
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
        hybrid: The hybrid to start from, or a run whose hybrid is meant. It is saved with the new
            run, and this object stays as it is.
        data: Text, from `load_text` with the hybrid's tokenizer.
        strategy: How the mixture weights, (N, K), are parameterized and updated: a name in
            `manticore.names.STRATEGIES`, such as `darts`, `gaea` or `dash`.
        steps: Number of optimizer steps.
        name: Name of the run, at most 120 characters.
        seed: Random seed: the order of the text, and what the strategy draws.
        device: Device to compute on: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: Precision of training: `float32`, or `bfloat16` or `float16` for mixed precision.
        root: Folder of all runs; by default `$MANTICORE_RUNS`, else `./runs`.
        trackers: Experiment trackers that also log the events: `tensorboard` (files in the run's
            folder), `trackio` or `wandb`.
        launch: Whether to start the run now. Otherwise only its folder is created, for
            `run.resume()`, or for several processes:
            `accelerate launch -m manticore.runs.worker FOLDER`.
        **options: Any other field of `SearchConfig`, such as `batch_size` (sequences per step) or
            `mixture_lr`.

    Returns:
        The run, at once: `run.wait()` waits for its end, `run.hybrid()` is what it made.

    Raises:
        TypeError: `hybrid` or `data` is something else.
        ValueError: An option is unknown or has an impossible value.
        ModuleNotFoundError: A tracker is not installed.
        FileNotFoundError: A run was given that has no hybrid yet.
    """
    chosen = {"strategy": strategy, "steps": steps, **options}
    settings = {"name": name, "seed": seed, "device": device, "dtype": dtype, "trackers": trackers}
    return start_stage("search", hybrid, data, chosen, root, launch, **settings)


def pretrain_projectors(
    hybrid: "ManticoreForCausalLM | Run",
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
    """Train the projectors, and a new head, on general text while the components are frozen.

    Arguments, result and errors as for `search`; `options` are fields of `PretrainConfig`.
    """
    chosen = {"steps": steps, **options}
    settings = {"name": name, "seed": seed, "device": device, "dtype": dtype, "trackers": trackers}
    return start_stage("pretrain-projectors", hybrid, data, chosen, root, launch, **settings)


def program(
    hybrid: "ManticoreForCausalLM | Run",
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
    fresh embeddings and head; then they are combined. `run.hybrid()` is the hybrid as it was, with
    the combined mixture weights; `mc.finetune(run, data)` trains it on its target, from weights
    that no search has trained.

    Args:
        hybrid: The hybrid to program, or a run whose hybrid is meant.
        tasks: Weight of each task, or names of tasks that count alike; by default all tasks of the
            preset.
        steps: Number of optimizer steps of each task's search.
        name: Name of the run, at most 120 characters.
        seed: Random seed.
        device: Device to compute on, as for `search`.
        dtype: Precision of training, as for `search`.
        root: Folder of all runs, as for `search`.
        trackers: Experiment trackers, as for `search`.
        launch: Whether to start the run now, as for `search`.
        **options: Any other field of `ProgramConfig`: `preset`, `settings`, `combine`, `strategy`,
            `from_scratch`, and `lengths` with `target_length` (in tokens), which make the mixture
            weights a function of the length of the target's sequences.

    Returns:
        The run, at once; `run.metrics()` has what each task found.

    Raises:
        TypeError: `hybrid` is something else.
        ValueError: A task is unknown, or an option is unknown or has an impossible value.
        ModuleNotFoundError: A tracker is not installed.
    """
    chosen = {"steps": steps, **options} | ({} if tasks is None else {"tasks": tasks})
    settings = {"name": name, "seed": seed, "device": device, "dtype": dtype, "trackers": trackers}
    return start_stage("program", hybrid, None, chosen, root, launch, **settings)


def trust(run: Run, data: "TextData") -> "Trust":
    """How far programmed mixture weights can be trusted on a text, without any training.

    Args:
        run: A run of `program`, or one that continued from it, such as its fine-tuning.
        data: The text.

    Returns:
        `lead`: the mixture weight that the component which is best on the text `alone` has, above
        its even share; where it is above zero, programmed mixture weights are likely to do better
        than even ones. Also `agreement`, from -1 to 1, of the run's mixture weights with those that
        its tasks make when they have their weights in the text; the share of orders of blocks that
        agree as well `by_chance`; the weight of each task in the text (`skills`), by counting; and
        the tasks that are `not_counted`, as nothing to count is known for them.

    Raises:
        TypeError: `run` or `data` is something else.
        FileNotFoundError: The run is not over.
        KeyError: A run before it is not there any more.
        ValueError: No programming came before it, or one with a single task, or with none that has
            a weight in the text.
    """
    from manticore.programming.trust import trust_on

    if not isinstance(run, Run):
        raise TypeError(f"{run!r:.80} is not a run. Pass what mc.program returned.")
    check_text(data)
    programmed = run.programming()
    metrics = programmed.metrics()
    made = metrics["mixture_weights"]
    counted = trust_on(metrics["tasks"], made, iter(data.train), data.vocabulary)
    return counted.with_components(programmed.hybrid_to_finetune(), data.valid)


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
        start: A run of `search` or `program`: its mixture weights are taken, and all other weights
            start from those of the components and projectors before that run, as in the paper. Or a
            hybrid, or a run of another stage, whose weights are trained further.
        data: Text, from `load_text` with the hybrid's tokenizer.
        steps: Number of optimizer steps.
        name: Name of the run, at most 120 characters.
        seed: Random seed.
        device: Device to compute on, as for `search`.
        dtype: Precision of training, as for `search`.
        root: Folder of all runs, as for `search`.
        trackers: Experiment trackers, as for `search`.
        launch: Whether to start the run now, as for `search`.
        **options: Any other field of `FinetuneConfig`; `lora={"rank": 8}` trains adapters by peft.

    Returns:
        The run, at once.

    Raises:
        TypeError: `start` or `data` is something else.
        ValueError: An option is unknown or has an impossible value.
        ModuleNotFoundError: A tracker is not installed.
        RunError: The run is still at work.
        KeyError: The run continued from a search that has been deleted.
    """
    chosen = {"steps": steps, **options}
    settings = {"name": name, "seed": seed, "device": device, "dtype": dtype, "trackers": trackers}
    return start_stage("finetune", start, data, chosen, root, launch, **settings)


def evaluate(
    hybrid: "ManticoreForCausalLM | Run",
    data: "TextData",
    *,
    name: str | None = None,
    device: str = "auto",
    root: str | Path | None = None,
    trackers: Sequence[str] = (),
    launch: bool = True,
    **options: Any,
) -> Run:
    """Measure a hybrid next to each of its components, on the held-out part of a text.

    Arguments, result and errors as for `search`; `options` are fields of `EvaluateConfig`. The
    numbers are in `run.metrics()`.
    """
    settings = {"name": name, "device": device, "trackers": trackers}
    return start_stage("evaluate", hybrid, data, options, root, launch, **settings)


def runs(root: str | Path | None = None) -> list[Run]:
    """All runs of a folder, the newest first.

    Args:
        root: Folder of all runs; by default `$MANTICORE_RUNS`, else `./runs`.
    """
    return list_runs(root)

"""The verbs of the public face that start and find runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.runs import Run, RunConfig, get_run, start_run
from manticore.runs import runs as list_runs
from manticore.search import SearchConfig

if TYPE_CHECKING:
    from manticore.data import TextData
    from manticore.hybrid import ManticoreForCausalLM

__all__ = ["Run", "get_run", "runs", "search"]


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
    **options: Any,
) -> Run:
    """Search the mixture weights of a hybrid, in a process of its own (paper section 3.3).

    Args:
        hybrid: Where to start from; it is saved with the run and stays as it is here.
        data: Text, from `load_text` with the hybrid's tokenizer.
        strategy: How mixture weights are parameterised and updated.
        steps: Optimizer steps.
        name: A name for people.
        seed: Decides the order of the text.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `float32`, or `bfloat16` or `float16` for mixed precision.
        root: Folder of runs; `$MANTICORE_RUNS` or `./runs` if not given.
        options: Any other field of `SearchConfig`.

    Returns:
        The run, at once: `run.wait()` for its end, `run.hybrid()` for what it made.

    Raises:
        ValueError: An unknown or impossible option (the message lists what there is).
    """
    config = RunConfig(
        stage="search",
        name=name,
        components=tuple(hybrid.component_names),
        n_blocks=hybrid.config.n_blocks,
        projector=hybrid.config.projector,
        head=hybrid.config.head,
        data=data.spec,
        search=SearchConfig(strategy=strategy, steps=steps, **options),
        seed=seed,
        device=device,
        dtype=dtype,
    )
    return start_run(config, hybrid=hybrid, root=root)


def runs(root: str | Path | None = None) -> list[Run]:
    """All runs of a folder, the newest first; `$MANTICORE_RUNS` or `./runs` if not given."""
    return list_runs(root)

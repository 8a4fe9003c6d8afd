"""A text for tiny components, runs of them, and what a run leaves behind without a process."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState

from manticore.runs import Run, RunConfig, write_status
from manticore.runs.launch import make_run_folder
from manticore.runs.stages import run_stage
from manticore.store.events import EventWriter
from manticore.store.files import write_json
from manticore.store.layout import METRICS_FILE, RESULT_FOLDER
from tests.tiny import TEXT


def write_text(folder: Path) -> Path:
    """`text.txt` in `folder`, written once: a run may be reading it already."""
    path = folder / "text.txt"
    if not path.exists():
        path.write_text("\n\n".join(TEXT * 60))
    return path


def run_config(
    folder: Path,
    components: Sequence[str],
    stage: str = "search",
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> RunConfig:
    """A run of two blocks over the text in `folder`, with a token cache beside it.

    Args:
        folder: Of the text and the cache.
        components: Folders of tiny components.
        stage: What the run does.
        options: Of the stage.
        fields: Other fields of the configuration, or other values of those above.
    """
    source = str(write_text(folder))
    said = {
        "stage": stage,
        "components": components,
        "n_blocks": 2,
        "projector_init": "identity",
        "data": {"source": source, "seq_len": 16, "cache_dir": str(folder / "cache")},
        "device": "auto",
        "options": options or {},
    }
    return RunConfig(**said | fields)


def do_here(run: Run) -> Run:
    """Do a run that was made with `launch=False` in this process: a worker takes long to start."""
    # A process has one precision, as far as accelerate knows; here it must forget.
    AcceleratorState._reset_state(reset_partial_state=True)
    with EventWriter(run.folder) as events:
        assert run_stage(run.folder, run.config, events, lambda: False)
        events.emit("done")
    AcceleratorState._reset_state(reset_partial_state=True)
    write_status(run.folder, "done")
    return run


PROGRAMMED = ["in-context-recall", "memorization"]


def programming_events(n_blocks: int = 2, steps: int = 5) -> Iterator[dict[str, Any]]:
    """What a programming run says: two tasks, each from even mixture weights, then both combined.

    Args:
        n_blocks: Of the hybrid of two components.
        steps: Of each task.
    """
    names = ["zoo:a", "zoo:b"]
    yield {"kind": "stage", "name": "program", "total_steps": 2 * steps}
    for index, task in enumerate(PROGRAMMED):
        for step in range(steps + 1):
            where = {"step": index * steps + step, "task": task}
            weights = [[0.5 + step / 20, 0.5 - step / 20]] * n_blocks
            if step:
                speed = {"lr": {}, "tokens_per_s": 900.0, "eta_s": 1.0}
                yield {"kind": "step", "loss": 3.0 + index - step / 10, **where, **speed}
            yield {"kind": "mixture", "weights": weights, "components": names, **where}
            if step in (0, steps):
                measured = {"accuracy": 0.125 if step == 0 else 0.5 + index / 4, "perplexity": 7.0}
                yield {
                    "kind": "eval",
                    "metrics": {**measured, "components": {}, "floor": None},
                    **where,
                }
    combined = {"weights": [[0.75, 0.25]] * n_blocks, "components": names}
    yield {"kind": "mixture", "step": 2 * steps, "task": "combined", **combined}


def programming_run(
    root: Path,
    state: str = "done",
    upto: int | None = None,
    agreement: float | None = 0.25,
    **program: Any,
) -> Run:
    """A programming run of `programming_events`, without a process.

    Args:
        root: Folder of runs.
        state: Which it is in.
        upto: So many of its events, all if None.
        agreement: Of the tasks; None where it cannot be known.
        program: Options of programming, beside the tasks.
    """
    options = {"tasks": {PROGRAMMED[0]: 1.0, PROGRAMMED[1]: 0.5}, **program}
    config = RunConfig(
        stage="program", components=["zoo:a", "zoo:b"], n_blocks=2, data={}, program=options
    )
    folder = make_run_folder(config, root=root)
    with EventWriter(folder) as events:
        for event in list(programming_events())[:upto]:
            events.emit(**event)
    if state == "done":
        tasks = {task: {} for task in PROGRAMMED}
        metrics = {
            "mixture_weights": [[0.75, 0.25]] * 2,
            "tasks": tasks,
            "best_task": PROGRAMMED[1],
            "agreement": agreement,
        }
        (folder / RESULT_FOLDER).mkdir()
        write_json(folder / RESULT_FOLDER / METRICS_FILE, metrics)
    write_status(folder, state)
    return Run(folder)

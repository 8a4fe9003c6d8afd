"""The stages that train a hybrid on text: search, pretraining of projectors, fine-tuning."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import PartialState

from manticore.config.training import TrainConfig
from manticore.hybrid.outline import outline
from manticore.store.events import Events
from manticore.store.layout import HYBRID_FOLDER, RESULT_FOLDER
from manticore.train.devices import use_device
from manticore.train.results import save_whole, write_metrics
from manticore.train.sharding import load_on_every_process
from manticore.train.starting import (
    load_data,
    measure_components,
    on_device,
    starting_hybrid,
    stop_before_training,
)
from manticore.train.tracking import require_trackers
from manticore.train.trainer import Trainer

if TYPE_CHECKING:
    from manticore.config.run import RunConfig


def train(
    folder: Path, config: "RunConfig", events: Events, should_stop: Callable[[], bool]
) -> bool:
    """Train the hybrid of a run as its stage says, resuming from the newest checkpoint.

    Writes `result/hybrid` (the hybrid with its tokenizer) and `result/metrics.json`.

    Args:
        folder: Folder of the run.
        config: Configuration of the run.
        events: Events of the run.
        should_stop: Called after every step.

    Returns:
        Whether the stage came to its end.
    """
    options: TrainConfig = config.options
    require_trackers(config.trackers)
    load_on_every_process()
    processes = PartialState(cpu=use_device(config.device).type == "cpu")
    # One process makes what lies on the disk: the hybrid to start from, and the tokens.
    with processes.main_process_first():
        hybrid = on_device(starting_hybrid(folder, config, events), processes.device)
        data = load_data(config, hybrid, events)
    events.emit("stage", name=config.stage, total_steps=options.steps)
    events.emit("hybrid", **outline(hybrid))
    # Before training touches them: what each component can do alone, as this run finds it.
    baselines = measure_components(
        hybrid,
        data,
        events,
        should_stop,
        batch_size=options.batch_size,
        max_batches=options.eval_batches,
    )
    if baselines is None or stop_before_training(should_stop):
        return False
    trainer = Trainer(hybrid, data, config, folder, events, baselines)
    metrics = trainer.run(should_stop)
    if metrics is not None and processes.is_main_process:
        save_whole(trainer.hybrid, folder / RESULT_FOLDER / HYBRID_FOLDER)
        write_metrics(folder, metrics)
    trainer.close_trackers()
    processes.destroy_process_group()
    return metrics is not None

"""What a stage leaves in its run's folder, each piece whole or not there at all."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.store.disk import writing
from manticore.store.files import publish_folder, write_json
from manticore.store.layout import METRICS_FILE, RESULT_FOLDER

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


def save_whole(hybrid: "ManticoreForCausalLM", folder: Path) -> None:
    """Save a hybrid so that the folder appears in one rename, never half-written.

    Args:
        hybrid: Hybrid with its tokenizer.
        folder: Folder to make; one of that name is replaced.

    Raises:
        DiskFullError: The disk is full; nothing is left under the folder's name.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(folder):
            partial.parent.mkdir(parents=True, exist_ok=True)
            hybrid.save_pretrained(partial)
            publish_folder(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Write `result/metrics.json` of a run in one piece.

    Args:
        folder: Folder of the run.
        metrics: What was measured in the end; numbers need not be finite.
    """
    result = folder / RESULT_FOLDER
    result.mkdir(exist_ok=True)
    write_json(result / METRICS_FILE, metrics, allow_nan=True)

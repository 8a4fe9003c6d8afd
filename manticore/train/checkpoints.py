"""Checkpoints of a run: whole folders that appear in one rename, so a killed run never leaves half
of one where a reader looks."""

import json
import logging
import shutil
from pathlib import Path

from accelerate import Accelerator

logger = logging.getLogger(__name__)

KEPT = 2
_DONE_FILE = "progress.json"
_PARTIAL = "partial"


class Checkpoints:
    """The `checkpoints/` folder of one run.

    A checkpoint holds weights, mixture logits, optimizer, schedule and random states, written by
    accelerate. Batches are a function of the step, so the step is the data's position too.

    Args:
        folder: Where they are; made if missing.
        accelerator: Has prepared the model, the optimizer and the schedule.
    """

    def __init__(self, folder: Path, accelerator: Accelerator) -> None:
        self.folder = folder
        self.accelerator = accelerator
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int) -> None:
        """Write the state after `step` steps, and drop all but the newest few.

        Raises:
            OSError: The disk is full; earlier checkpoints are untouched.
        """
        partial = self.folder / _PARTIAL
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        try:
            self.accelerator.save_state(str(partial))
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                self._publish(partial, step)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.accelerator.wait_for_everyone()

    def _publish(self, partial: Path, step: int) -> None:
        (partial / _DONE_FILE).write_text(json.dumps({"step": step}), encoding="utf-8")
        final = self.folder / f"step-{step:08d}"
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in saved_checkpoints(self.folder)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self) -> int:
        """Load the newest checkpoint that can be read.

        Returns:
            The number of steps done; 0 where there is no checkpoint.
        """
        for folder in saved_checkpoints(self.folder):
            try:
                step = json.loads((folder / _DONE_FILE).read_text(encoding="utf-8"))["step"]
                self.accelerator.load_state(str(folder))
            except Exception as error:
                # Whatever is wrong with one, an older one may be good.
                logger.warning("the checkpoint %s cannot be read (%s)", folder.name, error)
                continue
            return step
        return 0


def saved_checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in a folder, newest first."""
    whole = [path.parent for path in folder.glob(f"step-*/{_DONE_FILE}")]
    return sorted(whole, reverse=True)

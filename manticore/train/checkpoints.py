"""Checkpoints of a run: whole folders that appear in one rename, so a killed run never leaves half
of one where a reader looks."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from accelerate import Accelerator
from accelerate.utils import SAFE_WEIGHTS_NAME, broadcast_object_list

from manticore.train.sharding import is_sharded, whole_state

logger = logging.getLogger(__name__)

KEPT = 2
_DONE_FILE = "progress.json"
_PARTIAL = "partial"


class BrokenCheckpointError(Exception):
    """A checkpoint is not as it was written."""


class Checkpoints:
    """The `checkpoints/` folder of one run.

    A checkpoint holds weights, mixture logits, optimizer, schedule and random states, written by
    accelerate, and a digest of each of its files. Batches are a function of the step, so the step
    is the data's position too.

    Args:
        folder: Where they are; made if missing.
        accelerator: Has prepared the model, the optimizer and the schedule.
        warn: Told of a checkpoint that is broken.
    """

    def __init__(
        self, folder: Path, accelerator: Accelerator, warn: Callable[[str], None] = logger.warning
    ) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.warn = warn
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def sharded(self) -> bool:
        """Whether each process keeps a part of the state."""
        return is_sharded(self.accelerator)

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
            with _tied_weights_are_known():
                self.accelerator.save_state(str(partial))
            self.save_whole_weights(partial)
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                self._publish(partial, step)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.accelerator.wait_for_everyone()

    def save_whole_weights(self, partial: Path) -> None:
        """Beside shards, which only these processes can put together: what a reader loads."""
        if not self.sharded:
            return
        (model,) = self.accelerator._models
        state = whole_state(model)
        # Tied weights once.
        own = dict([*model.named_parameters(), *model.named_buffers()])
        if self.accelerator.is_main_process:
            self.accelerator.save(
                {name: tensor.contiguous() for name, tensor in state.items() if name in own},
                partial / SAFE_WEIGHTS_NAME,
                safe_serialization=True,
            )

    def _publish(self, partial: Path, step: int) -> None:
        progress = {"step": step, "sharded": self.sharded, "files": _digests(partial)}
        (partial / _DONE_FILE).write_text(json.dumps(progress), encoding="utf-8")
        final = self.folder / f"step-{step:08d}"
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in saved_checkpoints(self.folder)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self) -> int:
        """Load the newest whole checkpoint.

        Each is read through before anything of it is loaded: of a broken one, no part ever mixes
        with what is loaded in its place.

        Returns:
            The number of steps done; 0 where there is no whole checkpoint.

        Raises:
            ValueError: The checkpoint is of FSDP, and this is not, or the other way round.
        """
        # One process decides for all, who would otherwise part ways.
        chosen = [self._newest_whole() if self.accelerator.is_main_process else None]
        name, step = broadcast_object_list(chosen)[0]
        if name:
            self._check_kind(self.folder / name)
            self.accelerator.load_state(str(self.folder / name))
        return step

    def _check_kind(self, checkpoint: Path) -> None:
        progress = json.loads((checkpoint / _DONE_FILE).read_text(encoding="utf-8"))
        # Checkpoints have not always said it.
        if progress.get("sharded", self.sharded) == self.sharded:
            return
        if self.sharded:
            raise ValueError(
                f"The checkpoint {checkpoint.name} was written without FSDP: resume it without."
            )
        raise ValueError(
            f"The checkpoint {checkpoint.name} was written under FSDP, and only FSDP can read its "
            "shards: go on with accelerate launch --use_fsdp --fsdp_version 2 -m "
            "manticore.runs.worker FOLDER, FOLDER being the run's."
        )

    def _newest_whole(self) -> tuple[str, int]:
        """Name and step of the newest checkpoint whose files are as they were written."""
        for folder in sorted(self.folder.glob("step-*"), reverse=True):
            try:
                return folder.name, _steps_of_whole(folder)
            except BrokenCheckpointError as error:
                self._pass_over(folder, str(error))
        return "", 0

    def _pass_over(self, folder: Path, why: str) -> None:
        """Put a broken checkpoint aside, where nobody takes it for the newest."""
        aside = folder.with_name(f"broken-{folder.name}")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        self.warn(
            f"The checkpoint {folder.name} is broken ({why}): it was put aside as {aside.name}, "
            "and the run goes on from an earlier one, or from the start."
        )


@contextmanager
def _tied_weights_are_known() -> Iterator[None]:
    """Without accelerate's warning that it saves a tied weight once, which is as it should be."""

    def other(record: logging.LogRecord) -> bool:
        return "Removed shared tensor" not in record.getMessage()

    accelerate = logging.getLogger("accelerate.utils.other")
    accelerate.addFilter(other)
    try:
        yield
    finally:
        accelerate.removeFilter(other)


def _steps_of_whole(folder: Path, files: str = "*") -> int:
    """The steps of a checkpoint whose files are as they were written.

    Args:
        folder: The checkpoint.
        files: Of which names; others are not read.

    Raises:
        BrokenCheckpointError: They are not.
    """
    try:
        progress = json.loads((folder / _DONE_FILE).read_text(encoding="utf-8"))
        step, written = progress["step"], progress["files"]
        found = _digests(folder, files)
        broken = [
            name
            for name in written
            if PurePath(name).match(files) and found.get(name) != written[name]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenCheckpointError(str(error)) from error
    if broken:
        raise BrokenCheckpointError(f"not as it was written: {', '.join(broken)}")
    return step


def _digests(folder: Path, files: str = "*") -> dict[str, str]:
    """BLAKE2 of a checkpoint's files of such names, but the one that they are written to."""
    digests = {}
    for path in sorted(folder.rglob(files)):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != _DONE_FILE:
            with path.open("rb") as file:
                digests[name] = hashlib.file_digest(file, "blake2b").hexdigest()
    return digests


def newest_weights(folder: Path) -> Path | None:
    """The newest checkpoint in a folder whose weights can be loaded; None where there is none."""
    for checkpoint in saved_checkpoints(folder):
        try:
            _steps_of_whole(checkpoint, "*.safetensors")
        except BrokenCheckpointError as error:
            logger.warning("%s is passed over: %s", checkpoint, error)
        else:
            return checkpoint
    return None


def saved_checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in a folder, newest first."""
    whole = [path.parent for path in folder.glob(f"step-*/{_DONE_FILE}")]
    return sorted(whole, reverse=True)

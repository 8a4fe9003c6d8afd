"""Checkpoints of a run: folders that appear in one rename.

A killed run never leaves half of one where a reader looks.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from accelerate import Accelerator
from accelerate.utils import SAFE_WEIGHTS_NAME, broadcast_object_list

from manticore.store.disk import writing
from manticore.store.files import publish_folder, write_json
from manticore.train.sharding import is_sharded, whole_state

logger = logging.getLogger(__name__)

KEPT = 2
_DONE_FILE = "progress.json"
_DIGEST = "digest"
_PARTIAL = "partial"


Settings = Mapping[str, Any]
"""Values by name, nested as JSON nests them."""


class BrokenCheckpointError(Exception):
    """A checkpoint is not as it was written."""


class Checkpoints:
    """The `checkpoints/` folder of one run.

    A checkpoint holds weights, mixture logits, optimizer, schedule and random states, written by
    accelerate, and `progress.json`: the step, a digest of each file, the settings of the training
    and a digest of all that. Batches are a function of the step, so the step is the data's position
    too.

    Args:
        folder: Folder of the checkpoints; made if missing.
        accelerator: Accelerator that has prepared the model, the optimizer and the schedule.
        warn: Called with a message about each checkpoint that is broken.
        settings: Settings of the training, which a checkpoint must share to be continued from.
    """

    def __init__(
        self,
        folder: Path,
        accelerator: Accelerator,
        warn: Callable[[str], None] = logger.warning,
        settings: Settings | None = None,
    ) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.warn = warn
        self.settings = settings or {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def sharded(self) -> bool:
        """Whether each process keeps a part of the state."""
        return is_sharded(self.accelerator)

    def save(self, step: int) -> None:
        """Write the state of the training, and drop all but the newest few checkpoints.

        Args:
            step: Number of steps done.

        Raises:
            DiskFullError: The disk is full; earlier checkpoints are untouched.
        """
        partial = self.folder / _PARTIAL
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        try:
            with writing(self.folder):
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
        """Write the weights that a reader loads, next to shards that only these processes can join.

        Args:
            partial: Folder of the checkpoint that is being written.
        """
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
        progress = {
            "step": step,
            "sharded": self.sharded,
            "settings": self.settings,
            "files": _digests(partial),
        }
        write_json(partial / _DONE_FILE, sealed(progress))
        final = self.folder / _name(step)
        publish_folder(partial, final)
        for old in saved_checkpoints(self.folder)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self) -> int:
        """Load the newest whole checkpoint.

        Each is read through before anything of it is loaded: of a broken one, no part ever mixes
        with what is loaded in its place.

        Returns:
            The number of steps done; 0 where there is no whole checkpoint.

        Raises:
            ValueError: The checkpoint was written with other settings, or under FSDP while this
                process is not, or the other way round.
        """
        # One process decides for all, who would otherwise part ways.
        chosen = [self._newest_whole() if self.accelerator.is_main_process else None]
        progress = broadcast_object_list(chosen)[0]
        if progress is None:
            return 0
        step = progress["step"]
        self._check_kind(_name(step), progress)
        self._check_settings(_name(step), progress)
        self.accelerator.load_state(str(self.folder / _name(step)))
        return step

    def _check_kind(self, name: str, progress: Mapping[str, Any]) -> None:
        # Checkpoints have not always recorded it.
        if progress.get("sharded", self.sharded) == self.sharded:
            return
        if self.sharded:
            raise ValueError(f"The checkpoint {name} was written without FSDP: resume it without.")
        raise ValueError(
            f"The checkpoint {name} was written under FSDP, and only FSDP can read its shards: "
            "resume with accelerate launch --use_fsdp --fsdp_version 2 -m manticore.runs.worker "
            "FOLDER, where FOLDER is the run's."
        )

    def _check_settings(self, name: str, progress: Mapping[str, Any]) -> None:
        # Checkpoints have not always recorded them.
        changed = [
            f"{path} was {before!r} and is {now!r}"
            for path, before, now in _differences(progress.get("settings", {}), self.settings)
        ]
        if changed:
            raise ValueError(
                f"The run's settings have changed since its checkpoint {name} was written: "
                f"{'; '.join(changed)}. Change them back in config.json, or start a new run."
            )

    def _newest_whole(self) -> dict[str, Any] | None:
        """`progress.json` of the newest checkpoint whose files are as they were written."""
        for folder in sorted(self.folder.glob("step-*"), reverse=True):
            try:
                return read_progress(folder)
            except BrokenCheckpointError as error:
                self._pass_over(folder, str(error))
        return None

    def _pass_over(self, folder: Path, why: str) -> None:
        """Put a broken checkpoint aside, where nobody takes it for the newest."""
        aside = folder.with_name(f"broken-{folder.name}")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        self.warn(
            f"The checkpoint {folder.name} is broken ({why}): it was put aside as {aside.name}, "
            "and the run continues from an earlier one, or from the start."
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


def _name(step: int) -> str:
    return f"step-{step:08d}"


def sealed(progress: Mapping[str, Any]) -> dict[str, Any]:
    """What `progress.json` holds, with a digest of it.

    Args:
        progress: Values that JSON can hold; an earlier digest is replaced.
    """
    rest = {name: value for name, value in progress.items() if name != _DIGEST}
    text = json.dumps(rest, sort_keys=True)
    return {**rest, _DIGEST: hashlib.blake2b(text.encode()).hexdigest()}


def read_progress(folder: Path, files: str = "*") -> dict[str, Any]:
    """`progress.json` of a checkpoint whose files are as they were written.

    Args:
        folder: Folder of the checkpoint.
        files: Pattern of names; other files are not read.

    Raises:
        BrokenCheckpointError: One of the files is not as it was written.
    """
    try:
        progress = json.loads((folder / _DONE_FILE).read_text(encoding="utf-8"))
        step, written = progress["step"], progress["files"]
        # Checkpoints have not always had a digest of their progress.
        changed = progress != sealed(progress) if _DIGEST in progress else False
        if changed or type(step) is not int or _name(step) != folder.name:
            raise BrokenCheckpointError(f"not as it was written: {_DONE_FILE}")
        found = _digests(folder, files)
        broken = [
            name
            for name in written
            if PurePath(name).match(files) and found.get(name) != written[name]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenCheckpointError(f"{type(error).__name__}: {error}") from error
    if broken:
        raise BrokenCheckpointError(f"not as it was written: {', '.join(broken)}")
    return progress


def _differences(
    before: Settings, now: Settings, prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Path, value before and value now of each setting that both have, and that differs.

    A setting that only one has was not there when the checkpoint was written, or is not any more.
    """
    for name in sorted(before.keys() & now.keys()):
        path, old, new = f"{prefix}{name}", before[name], now[name]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{path}.")
        elif old != new:
            yield path, old, new


def _digests(folder: Path, files: str = "*") -> dict[str, str]:
    """BLAKE2 of a checkpoint's files by name, but for the file that holds them.

    Args:
        folder: Folder of the checkpoint.
        files: Pattern of names.
    """
    digests = {}
    for path in sorted(folder.rglob(files)):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != _DONE_FILE:
            with path.open("rb") as file:
                digests[name] = hashlib.file_digest(file, "blake2b").hexdigest()
    return digests


def newest_weights(folder: Path) -> Path | None:
    """The newest checkpoint whose weights can be loaded; None where there is none.

    Args:
        folder: Folder of the checkpoints of a run.
    """
    for checkpoint in saved_checkpoints(folder):
        try:
            read_progress(checkpoint, "*.safetensors")
        except BrokenCheckpointError as error:
            logger.warning("The checkpoint %s is passed over: %s", checkpoint, error)
        else:
            return checkpoint
    return None


def saved_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints, newest first.

    Args:
        folder: Folder of the checkpoints of a run.
    """
    whole = [path.parent for path in folder.glob(f"step-*/{_DONE_FILE}")]
    return sorted(whole, reverse=True)

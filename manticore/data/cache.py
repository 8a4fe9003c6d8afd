"""The token cache: each text is tokenised once, into files of ids that are mapped, not loaded."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import platform
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

FORMAT = 1  # raised when pieces, tokens or files change


def cache_root(cache_dir: str | Path | None = None) -> Path:
    """`cache_dir`, or $MANTICORE_CACHE, or ~/.cache/manticore; the folder is not made."""
    root = cache_dir or os.environ.get("MANTICORE_CACHE") or Path.home() / ".cache" / "manticore"
    return Path(root).expanduser().resolve()


def _host() -> str:
    """The machine's name as a short hash: a home folder may be shared between machines."""
    return digest(platform.node())[:8]


def digest(value: object) -> str:
    """A short hash of a JSON-able value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of what decides a tokenizer's ids: a fast one's state, else the vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        state = sorted(tokenizer.get_vocab().items())
    else:
        state = json.loads(backend.to_str())
        # Left behind by the last call that padded or truncated; ours do neither.
        state.pop("padding", None)
        state.pop("truncation", None)
    return digest([type(tokenizer).__name__, state, tokenizer.eos_token_id])


class TokenCache:
    """One entry of the cache: a folder with `<part>.bin` for every part, and `meta.json`.

    An entry is written beside its place and moved there whole, so it is never seen half-made.
    """

    def __init__(self, root: Path, key: str, vocabulary: int) -> None:
        self.folder = root / "tokens" / key
        self.dtype = "uint16" if vocabulary <= 1 << 16 else "uint32"

    def path(self, part: str) -> Path:
        """The file of ids of one part."""
        return self.folder / f"{part}.bin"

    def read(self) -> dict[str, int] | None:
        """Number of tokens of every part, or None if there is no sound entry."""
        try:
            meta = json.loads((self.folder / "meta.json").read_text())
            for part, count in meta["n_tokens"].items():
                if self.path(part).stat().st_size != count * np.dtype(self.dtype).itemsize:
                    raise ValueError(f"{part}.bin has another size than meta.json says")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError) as error:
            logger.warning("the token cache %s is damaged (%s): making it anew", self.folder, error)
            shutil.rmtree(self.folder)
            return None
        return meta["n_tokens"]

    def write(self, parts: Mapping[str, Iterable[np.ndarray]]) -> dict[str, int]:
        """Write the token blocks of every part and return the numbers of tokens.

        Raises:
            OSError: the disk is full or can't be written; nothing half-written is left.
        """
        mine = f"{_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        temporary = self.folder.with_name(f".{self.folder.name}.{mine}")
        try:
            self._remove_orphans()
            temporary.mkdir(parents=True)
            counts = {}
            for part, blocks in parts.items():
                counts[part] = self._write_part(temporary / f"{part}.bin", blocks)
            (temporary / "meta.json").write_text(json.dumps({"n_tokens": counts}))
            self._publish(temporary)
        except OSError as error:
            if error.errno not in (
                errno.ENOSPC,
                errno.EDQUOT,
                errno.EFBIG,
                errno.EROFS,
                errno.EACCES,
            ):
                raise
            raise OSError(
                error.errno,
                f"could not write the token cache under {self.folder.parent} ({error.strerror}): "
                "free some space, set $MANTICORE_CACHE (or cache_dir) to another disk, "
                "or pass streaming=True",
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return counts

    def _write_part(self, path: Path, blocks: Iterable[np.ndarray]) -> int:
        count = 0
        with path.open("wb") as file:
            for block in blocks:
                file.write(block.astype(self.dtype).tobytes())
                count += len(block)
            file.flush()
            os.fsync(file.fileno())
        return count

    def _publish(self, temporary: Path) -> None:
        try:
            os.replace(temporary, self.folder)
        except OSError as error:
            # Another process may have made the same entry in the meantime: the two are equal.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def _remove_orphans(self) -> None:
        """Remove what a killed process of this machine left of this entry."""
        for folder in self.folder.parent.glob(f".{self.folder.name}.{_host()}.*"):
            if not psutil.pid_exists(int(folder.name.split(".")[3])):
                shutil.rmtree(folder, ignore_errors=True)

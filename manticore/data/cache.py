"""The token cache: a text is tokenized once, into files of ids that are memory-mapped."""

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

from manticore.paths import expanded, home

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

VARIABLE = "MANTICORE_CACHE"
FORMAT = 2  # raised when pieces, tokens or files change


def cache_root(cache_dir: str | Path | None = None) -> Path:
    """`cache_dir`, or $MANTICORE_CACHE, or ~/.cache/manticore; the folder is not created.

    Raises:
        ValueError: The home folder that is needed for it is not known.
    """
    root = cache_dir or os.environ.get(VARIABLE) or home(VARIABLE) / ".cache" / "manticore"
    return expanded(root).resolve()


def _host() -> str:
    """The machine's name as a short hash: a home folder may be shared between machines."""
    return digest(platform.node())[:8]


def digest(value: object) -> str:
    """A short hash of a JSON-able value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def id_type(n_ids: int) -> str:
    """The smallest NumPy type that holds the ids 0 to n_ids - 1."""
    return "uint16" if n_ids <= 1 << 16 else "uint32"


class TokenCache:
    """One entry of the cache: a folder with `<part>.bin` for every part, and `meta.json`.

    An entry is written under another name and renamed when it is whole, so that nobody sees half
    of one.

    Args:
        root: Folder of the cache.
        key: Name of the entry: a hash of everything that decides its tokens.
        n_ids: V, one more than the highest id that can occur.
    """

    def __init__(self, root: Path, key: str, n_ids: int) -> None:
        self.folder = root / "tokens" / key
        self.dtype = id_type(n_ids)

    def path(self, part: str) -> Path:
        """The file of ids of one part."""
        return self.folder / f"{part}.bin"

    def read(self) -> dict[str, int] | None:
        """Number of tokens of every part; None if there is no entry, or only a damaged one."""
        try:
            meta = json.loads((self.folder / "meta.json").read_text())
            for part, count in meta["n_tokens"].items():
                if self.path(part).stat().st_size != count * np.dtype(self.dtype).itemsize:
                    raise ValueError(f"{part}.bin does not have the size that meta.json says")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError) as error:
            logger.warning(
                "The token cache %s is damaged (%s). The text is tokenized again.",
                self.folder,
                error,
            )
            shutil.rmtree(self.folder)
            return None
        return meta["n_tokens"]

    def write(self, parts: Mapping[str, Iterable[np.ndarray]]) -> dict[str, int]:
        """Write the token blocks of every part and return the numbers of tokens.

        Raises:
            OSError: The disk is full or read-only; nothing half-written is left.
            ValueError: An id does not fit the type of the ids.
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
                f"The token cache under {self.folder.parent} could not be written "
                f"({error.strerror}). Free some space, set MANTICORE_CACHE (or cache_dir) to a "
                "folder on another disk, or pass streaming=True.",
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return counts

    def _write_part(self, path: Path, blocks: Iterable[np.ndarray]) -> int:
        count, largest = 0, np.iinfo(self.dtype).max
        with path.open("wb") as file:
            for block in blocks:
                if block.max(initial=0) > largest or block.min(initial=0) < 0:
                    raise ValueError(
                        f"The tokenizer gave an id outside of 0 to {largest}: its vocabulary does "
                        "not list all of its tokens. Save it again with all added tokens."
                    )
                file.write(block.astype(self.dtype).tobytes())
                count += len(block)
            file.flush()
            os.fsync(file.fileno())
        return count

    def _publish(self, temporary: Path) -> None:
        try:
            temporary.replace(self.folder)
        except OSError as error:
            # Another process may have written the same entry in the meantime: the two are equal.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def _remove_orphans(self) -> None:
        """Remove what a killed process on this machine left of this entry."""
        for folder in self.folder.parent.glob(f".{self.folder.name}.{_host()}.*"):
            if not psutil.pid_exists(int(folder.name.split(".")[3])):
                shutil.rmtree(folder, ignore_errors=True)

"""Which texts the page may read: whoever opens it must not reach every file of the account."""

import re
from pathlib import Path

from manticore.data.file_kinds import data_suffix
from manticore.data.resolve import LONGEST_NAME, TEXT_SUFFIXES, check_source
from manticore.data.tables import READERS

from .hub import Hub, is_hub_id
from .roots import Roots
from .uploads import Uploads

_SPLIT = re.compile(r"[\w\[\]%:.+-]*", re.ASCII)


class Texts:
    """The texts of one page: bundled ones, uploaded ones, data sets of the hub, files in its roots.

    Args:
        roots: Folders of files; the working folder if None.
        uploads: Texts that visitors have uploaded; none if None.
        hub: Data sets of the hub; all if None.
    """

    def __init__(
        self, roots: Roots | None = None, uploads: Uploads | None = None, hub: Hub | None = None
    ) -> None:
        self.roots, self.uploads, self.hub = roots or Roots(), uploads, hub or Hub()

    @property
    def hint(self) -> str:
        """What may be typed in place of a bundled text."""
        where = " or ".join(map(str, self.roots.folders))
        choices = [f"a text file or folder in {where}"] if where else []
        choices += ["a data set of the hub, owner/name:split"] if self.hub.allowed else []
        return f"Or type {', or '.join(choices)}." if choices else "Or upload a text."

    def source(self, name: str) -> str:
        """The source of a text, as `load_text` takes it.

        Args:
            name: What a visitor typed or chose.

        Raises:
            ValueError: An unknown bundled text, a file outside the roots, an empty file, or not a
                name.
            FileNotFoundError: There is no such file in the roots.
            ConnectionError: The hub cannot be reached, and the data set was not downloaded before.
        """
        name = (name or "").strip()
        if not name:
            raise ValueError("No text is chosen: choose one from the list, or upload one.")
        if name.startswith("bundled:") or set("\n\0") & set(name) or len(name) > LONGEST_NAME:
            check_source(name)
            return name
        if self.uploads is not None and self.uploads.is_one(name):
            return str(self.uploads.path(name))
        path = self.roots.find(name)
        if path is not None:
            return _checked(name, path)
        location, colon, split = name.partition(":")
        if (
            (colon or "/" in location)
            and is_hub_id(location)
            and _SPLIT.fullmatch(split)
            and not _is_local(location)
        ):
            self.hub.check_dataset(location)
            return name
        # Nothing of what lies elsewhere is told, neither its contents nor its name.
        raise FileNotFoundError(
            f"There is no text of this name. {self.roots}: {self.roots.remedy}."
        )


def _is_local(location: str) -> bool:
    """Whether a name means a file or a folder: the worker would read it, and not ask the hub."""
    path = Path(location)
    return data_suffix(path) in (*TEXT_SUFFIXES, *READERS) or path.exists()


def _checked(name: str, path: Path) -> str:
    """The path of a text that can be read.

    Raises:
        ValueError: It is empty, or neither a file nor a folder.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"The text {name!r:.80} is empty: choose one with at least two tokens.")
    if path.is_dir() and not any(path.iterdir()):
        raise ValueError(f"The folder {name!r:.80} is empty: put texts there.")
    if not path.is_file() and not path.is_dir():
        raise ValueError(f"{name!r:.80} is neither a file nor a folder: choose a text.")
    return str(path)

"""Which texts the page may read: whoever opens it must not reach every file of the account."""

import re
from pathlib import Path

from manticore.data.resolve import LONGEST_NAME, check_source
from manticore.paths import expanded

_FILES = {".txt", ".md", ".json", ".jsonl", ".csv", ".parquet", ".gz"}
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w\[\]%:.+-]+)?", re.ASCII)


class Texts:
    """The texts of one page: bundled ones, data sets of the hub, and files below one folder.

    Args:
        folder: Folder of the files; the working directory if None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or Path.cwd()).resolve()

    def source(self, name: str) -> str:
        """The source of a text, as `load_text` takes it.

        Args:
            name: What a visitor typed or chose.

        Raises:
            ValueError: An unknown bundled text, a file outside the folder, or not a name.
            FileNotFoundError: There is no such file in the folder.
        """
        name = name.strip()
        if name.startswith("bundled:") or set("\n\0") & set(name) or len(name) > LONGEST_NAME:
            check_source(name)
            return name
        path, inside = self._path(name)
        if inside and path.exists():
            return str(path)
        if (
            _HUB_NAME.fullmatch(name)
            and path.suffix not in _FILES
            and not expanded(name).exists()
            and not name.startswith(".")
        ):
            return name
        # Nothing of what lies elsewhere is told, neither its contents nor its name.
        if inside:
            raise FileNotFoundError(f"There is no text {name!r:.80} in {self.folder}.")
        raise ValueError(
            f"This page reads only texts below {self.folder}. Put the file there, or start the "
            "page with --texts FOLDER."
        )

    def _path(self, name: str) -> tuple[Path, bool]:
        """The file that a name means, and whether it lies in the folder."""
        try:
            path = (self.folder / expanded(name)).resolve()
        except OSError as error:
            raise ValueError(f"{name!r:.40}... is too long for the name of a text.") from error
        return path, path.is_relative_to(self.folder)

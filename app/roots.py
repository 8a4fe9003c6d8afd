"""The folders of this machine that the page may read: visitors reach nothing outside of them."""

from collections.abc import Sequence
from pathlib import Path

from manticore.paths import expanded


class Roots:
    """Folders whose texts and components visitors may use.

    Args:
        folders: The folders; the working folder if None.
    """

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        given = [Path.cwd()] if folders is None else folders
        self.folders = [folder.resolve() for folder in given]

    def find(self, name: str) -> Path | None:
        """The file or folder that a name means in one of the folders; None if there is none.

        Args:
            name: A path as a visitor typed it: absolute, or below one of the folders.

        Raises:
            ValueError: The name begins with the home folder of an unknown user.
        """
        if "\0" in name:
            return None
        for folder in self.folders:
            try:
                path = (folder / expanded(name)).resolve()
                # A link that leads out of the folder does not count as inside.
                if path.is_relative_to(folder) and path.exists():
                    return path
            except OSError:  # too long for the file system, or a circle of links
                continue
        return None

    def __str__(self) -> str:
        """What to tell a reader about where files may be."""
        if not self.folders:
            return "This page reads no files of its machine"
        return f"This page reads only files below {' and '.join(map(str, self.folders))}"

    @property
    def remedy(self) -> str:
        """What to do about a file that is not found."""
        if not self.folders:
            return "ask whoever runs the page to start it with --data-root FOLDER"
        return "put it there, or start the page with --data-root FOLDER"

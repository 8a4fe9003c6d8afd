"""Which components a run of the page may have: bundled, untrained, of the hub, or in its roots."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manticore.runs import RunConfig

from .hub import Hub, is_hub_id
from .roots import Roots

_OWN = ("zoo:", "scratch:")
_GGUF = ".gguf"


@dataclass(frozen=True)
class OnDisk:
    """Where the files of a component are.

    Attributes:
        source: Its source, as `build_hybrid` takes it.
        folder: Files of a hub repository; None where the source itself says where they are.
    """

    source: str
    folder: Path | None


class Components:
    """The components that visitors of a page may name.

    Args:
        roots: Folders of components; the working folder if None.
        hub: Models of the hub; all if None.
    """

    def __init__(self, roots: Roots | None = None, hub: Hub | None = None) -> None:
        self.roots, self.hub = roots or Roots(), hub or Hub()

    def source(self, name: str) -> str:
        """The source of a component, as `build_hybrid` takes it.

        Args:
            name: What a visitor typed or chose.

        Raises:
            ValueError: It is not the name of a component.
            FileNotFoundError: There is no such folder in the roots.
            LookupError: The hub has no such model.
            ConnectionError: The hub cannot be reached, and the model was not downloaded before.
        """
        name = name.strip()
        if name.startswith(_OWN):
            return name
        if (path := self._in_the_roots(name)) is not None:
            return str(path)
        if (repository := _of_the_hub(name)) is not None:
            self.hub.check_model(repository)
            return name
        # Nothing of what lies elsewhere is told, neither its contents nor its name.
        raise FileNotFoundError(
            f"{name!r:.80} is not a component of this page. {self.roots}: {self.roots.remedy}; or "
            "choose a component from the list, or give a hub id OWNER/NAME."
        )

    def on_disk(self, name: str, *, wait: bool) -> OnDisk | None:
        """Where the files are that tell of a component before it is loaded.

        Args:
            name: What a visitor typed or chose.
            wait: Whether to ask the hub for what is not on this machine yet.

        Returns:
            The place; None where there is nothing that a visitor may see.
        """
        name = name.strip()
        if name.startswith(_OWN):
            return OnDisk(name, None)
        try:
            path = self._in_the_roots(name)
        except ValueError:
            return None
        if path is not None:
            return OnDisk(str(path), None)
        repository = _of_the_hub(name)
        if repository is None or repository != name:  # A GGUF file is as large as its weights.
            return None
        folder = self.hub.folder(name, wait=wait)
        return None if folder is None else OnDisk(name, folder)

    def _in_the_roots(self, name: str) -> Path | None:
        """The folder or GGUF file of a name in the roots."""
        path = self.roots.find(name) if name else None
        is_one = path is not None and (path.is_dir() or path.suffix == _GGUF)
        return path if is_one else None

    def allowed(self, config: RunConfig) -> RunConfig:
        """The same run with the sources of its components; errors are those of `source`.

        Args:
            config: What a form describes.
        """
        return config.model_copy(update={"components": self._sources(config.components)})

    def _sources(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.source(name) for name in names)


def _of_the_hub(name: str) -> str | None:
    """The repository of the hub that a name means; None if it is no such name."""
    repository = _repository(name)
    elsewhere = not is_hub_id(repository) or Path(name).exists() or Path(repository).exists()
    return None if elsewhere else repository


def _repository(name: str) -> str:
    """The repository in a name of the hub, which may be followed by a GGUF file."""
    repository, _, file = name.rpartition("/")
    return repository if file.endswith(_GGUF) and "/" in repository else name

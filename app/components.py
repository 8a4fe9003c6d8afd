"""Which components a run of the page may have: bundled, untrained, of the hub, or in its roots."""

from collections.abc import Sequence
from pathlib import Path

from manticore.runs import RunConfig

from .hub import Hub, is_hub_id
from .roots import Roots

_OWN = ("zoo:", "scratch:")
_GGUF = ".gguf"


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
        path = self.roots.find(name) if name else None
        if path is not None and (path.is_dir() or path.suffix == _GGUF):
            return str(path)
        repository = _repository(name)
        if is_hub_id(repository) and not Path(name).exists() and not Path(repository).exists():
            self.hub.check_model(repository)
            return name
        # Nothing of what lies elsewhere is told, neither its contents nor its name.
        raise FileNotFoundError(
            f"{name!r:.80} is not a component of this page. {self.roots}: {self.roots.remedy}; or "
            "choose a component from the list, or give a hub id OWNER/NAME."
        )

    def allowed(self, config: RunConfig) -> RunConfig:
        """The same run with the sources of its components; errors are those of `source`.

        Args:
            config: What a form describes.
        """
        return config.model_copy(update={"components": self._sources(config.components)})

    def _sources(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.source(name) for name in names)


def _repository(name: str) -> str:
    """The repository in a name of the hub, which may be followed by a GGUF file."""
    repository, _, file = name.rpartition("/")
    return repository if file.endswith(_GGUF) and "/" in repository else name

"""What the name of a component stands for: a bundled one, a folder, a GGUF file or a hub id."""

import json
from dataclasses import dataclass
from pathlib import Path

from transformers.utils.hub import cached_file

from manticore.components.damage import Damage
from manticore.components.scratch import is_scratch
from manticore.components.zoo import zoo_path
from manticore.extras import MissingExtraError, require
from manticore.names import UnknownNameError
from manticore.paths import expanded

ZOO_PREFIX = "zoo:"
_GGUF = ".gguf"
_ADAPTER = "adapter_config.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
ONLY_SAFETENSORS = (
    "Manticore loads safetensors only, because a pickle can run code: load it with Transformers "
    "where you trust it, then model.save_pretrained(folder), which writes safetensors."
)


class ComponentError(ValueError):
    """A component that cannot be loaded; the message names it, the cause and the remedy."""


@dataclass(frozen=True)
class Place:
    """Where the files of a component are.

    Attributes:
        root: A folder, or a hub id.
        gguf_file: Name of the GGUF file in it that holds the model; None for safetensors.
    """

    root: str
    gguf_file: str | None = None


def is_zoo(source: str) -> bool:
    """Whether the source names a bundled component."""
    return source.startswith(ZOO_PREFIX)


def undamaged(source: str) -> str:
    """The source without options that damage a copy of it: copies of one component share it."""
    return source.partition("?")[0] if is_zoo(source) else source


def component_name(source: str) -> str:
    """A short name for a source: what follows the last slash or colon."""
    return undamaged(source).rstrip("/").replace(ZOO_PREFIX, "").split("/")[-1].removesuffix(_GGUF)


def locate(source: str) -> Place:
    """Where to load a source from; a folder is looked into, a hub id is not.

    Args:
        source: `zoo:NAME`, with or without damage, a folder, a GGUF file or a folder that holds
            just one, a hub id `OWNER/NAME`, or a GGUF file of a hub repository,
            `OWNER/NAME/FILE.gguf`.

    Raises:
        ComponentError: Nothing is there, or nothing that can be loaded.
    """
    if is_zoo(source):
        try:
            path = zoo_path(source)
            Damage.of(source)
        except (UnknownNameError, FileNotFoundError, ValueError) as error:
            raise ComponentError(f"'{source}' is not available. {error}") from error
    else:
        try:
            path = expanded(source)
        except ValueError as error:
            raise ComponentError(f"'{source}' cannot be found. {error}") from error
    if path.is_dir():
        return _look_into(source, path)
    if path.is_file():
        if path.suffix == _GGUF:
            return Place(str(path.parent), path.name)
        raise ComponentError(
            f"'{source}' is a file: give the folder that holds config.json, or a GGUF file."
        )
    if source.startswith((".", "/", "~")):
        raise ComponentError(
            f"There is no folder '{source}': give a folder that holds config.json."
        )
    parts = source.split("/")
    if len(parts) == 3 and source.endswith(_GGUF):
        return Place("/".join(parts[:2]), parts[2])
    if len(parts) > 2:  # A hub id is OWNER/NAME.
        raise ComponentError(
            f"There is no folder '{source}': give a folder that holds config.json, or a hub id "
            "OWNER/NAME."
        )
    return Place(source)


def _look_into(source: str, folder: Path) -> Place:
    """The place of a component's folder.

    Raises:
        ComponentError: It holds no model that can be loaded; the message says what it holds.
    """
    if (folder / _ADAPTER).is_file():
        raise ComponentError(_adapter_message(source, folder / _ADAPTER))
    safetensors = list(folder.glob("*.safetensors"))
    packed = sorted(path.name for path in folder.glob(f"*{_GGUF}"))
    if not safetensors and len(packed) == 1:
        return Place(str(folder), packed[0])
    if not safetensors and packed:
        raise ComponentError(
            f"The folder '{source}' holds several GGUF files ({', '.join(packed)}): give the path "
            "of one of them. A model that is split over several files must be merged first, with "
            "llama.cpp's gguf-split."
        )
    config = folder / "config.json"
    if not config.is_file():
        raise ComponentError(
            f"The folder '{source}' has no config.json: give a folder that was written by "
            "model.save_pretrained, or a GGUF file."
        )
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ComponentError(
            f"config.json is not valid JSON in the folder '{source}' ({error}): save it again."
        ) from error
    if not safetensors:
        pickled = [path.name for pattern in _PICKLED for path in folder.glob(pattern)]
        held = f"only pickle files ({', '.join(pickled)})" if pickled else "no weights"
        raise ComponentError(f"The folder '{source}' holds {held}. {ONLY_SAFETENSORS}")
    return Place(str(folder))


def check_gguf(source: str) -> None:
    """Refuse a GGUF file where the package that reads it is missing.

    Raises:
        ComponentError: It is missing; the message says how to install it.
    """
    try:
        require(f"'{source}' is a GGUF file. Reading it", "gguf")
    except MissingExtraError as error:
        raise ComponentError(str(error)) from error


def check_hub(source: str, root: str, revision: str) -> None:
    """Refuse a hub repository that holds a peft adapter.

    Args:
        source: What was asked for.
        root: Id of the repository.
        revision: Branch, tag or commit.

    Raises:
        ComponentError: It does; the message names the base model.
    """
    found = cached_file(
        root,
        _ADAPTER,
        revision=revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if found is not None:
        raise ComponentError(_adapter_message(source, Path(found)))


def _adapter_message(source: str, settings_file: Path) -> str:
    """What to say of an adapter (LoRA and the like) that stands where a model should."""
    try:
        settings = json.loads(settings_file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        settings = {}
    base = settings.get("base_model_name_or_path") or "BASE_MODEL"
    kind = settings.get("peft_type") or "peft"
    return (
        f"'{source}' holds a {kind} adapter for the model '{base}', not a whole model "
        f"({_ADAPTER}). Merge the adapter into its base model, and give the folder:\n"
        f"  model = AutoModelForCausalLM.from_pretrained({base!r})\n"
        f"  model = PeftModel.from_pretrained(model, {source!r}).merge_and_unload()\n"
        "  model.save_pretrained('FOLDER')\n"
        f"  AutoTokenizer.from_pretrained({base!r}).save_pretrained('FOLDER')\n"
        f"For the model without the adapter, give '{base}'."
    )


def files_of(source: str) -> dict[str, tuple[int, int]] | None:
    """Size and time of change (ns) of a local component's files: another component has others.

    None where there is no folder: the name of a hub repository or of an untrained component says
    all, and a source that cannot be found is reported where it is loaded.
    """
    if is_scratch(source):
        return None
    try:
        place = locate(source)
    except ComponentError:
        return None
    folder = Path(place.root)
    if not folder.is_dir():
        return None
    files = [folder / place.gguf_file] if place.gguf_file else sorted(folder.iterdir())
    stats = {path.name: path.stat() for path in files if path.is_file()}
    return {name: (found.st_size, found.st_mtime_ns) for name, found in stats.items()}

"""Whether the hybrid of an imported run can be loaded without harm, and holds what it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from manticore.archive.reading import NotAnExportError
from manticore.hybrid import ManticoreConfig, ManticoreForCausalLM

_CODE = {
    *("auto_map", "attn_implementation", "_attn_implementation", "experts_implementation"),
    *("quantization_config", "custom_generate", "custom_pipelines", "trust_remote_code"),
}
"""Settings by which a configuration has Transformers fetch or run something else."""
_CONFIGURATIONS = ("config.json", "generation_config.json", "tokenizer_config.json")
_LARGEST_SIZE = 1_000_000_000
_LONGEST_LIST = 1_000_000
_LARGER = 4
"""How many times as many numbers a hybrid may have as its file: tied weights are saved once."""
_ALLOWANCE = 50_000_000


def check_model(folder: Path, n_blocks: int, n_components: int) -> None:
    """Refuse a hybrid that would run code, take more memory than its file, or lack a part.

    Args:
        folder: Folder of a saved hybrid.
        n_blocks: Number of blocks that it must have.
        n_components: Number of components that it must have.

    Raises:
        NotAnExportError: It is refused.
    """
    for name in _CONFIGURATIONS:
        if (folder / name).is_file():
            _check_settings(_table(folder / name), name)
    shapes = _shapes(folder)
    config = _table(folder / "config.json")
    _check_sizes(config, len(shapes))
    count = sum(map(_numel, shapes.values()))
    if _size_of(config) > _LARGER * count + _ALLOWANCE:
        raise NotAnExportError("its hybrid is larger than its weights")
    try:
        hybrid = ManticoreForCausalLM.from_pretrained(folder)
    except (*_UNFIT, OSError) as error:
        raise NotAnExportError(f"its hybrid cannot be loaded ({_brief(error)})") from error
    if (hybrid.config.n_blocks, len(hybrid.components)) != (n_blocks, n_components):
        raise NotAnExportError("its hybrid is not that of its run")
    if hybrid.tokenizer is None:
        raise NotAnExportError("its hybrid has no tokenizer")


_UNFIT = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What Transformers and PyTorch raise for a configuration that means nothing."""


def _table(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise NotAnExportError(f"{path.name} is not JSON") from error
    if not isinstance(found, dict):
        raise NotAnExportError(f"{path.name} is not a table")
    return found


def _check_settings(values: dict[str, Any], name: str) -> None:
    for key, value, _ in _walk(values):
        if key in _CODE and value not in (None, False):
            raise NotAnExportError(f"{name} has {key}, which could run foreign code")


def _check_sizes(config: dict[str, Any], n_tensors: int) -> None:
    """Refuse sizes that take forever to build, before anything is built."""
    if config.get("model_type") != "manticore":
        raise NotAnExportError("its hybrid was not made by Manticore")
    for key, value, listed in _walk(config):
        if isinstance(value, int) and not isinstance(value, bool):
            # Every layer and every block has weights of its own.
            counted = "layer" in key or "block" in key
            most = n_tensors if counted else _LONGEST_LIST if listed else _LARGEST_SIZE
            if abs(value) > most:
                raise NotAnExportError(f"its hybrid has {key}={value}, and fewer weights")


def _walk(value: Any, key: str = "", listed: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """All values with the names of their settings, and whether they are in a list."""
    yield key, value, listed
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, key, listed=True)


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all saved tensors, whose files are checked on the way."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as weights:
                for name in weights.keys():  # noqa: SIM118, it is not a dictionary
                    shapes[name] = tuple(weights.get_slice(name).get_shape())
        except SafetensorError as error:
            raise NotAnExportError(f"{path.name} is damaged ({error})") from error
    if not shapes:
        raise NotAnExportError("its hybrid has no weights")
    return shapes


def _size_of(config: dict[str, Any]) -> int:
    """How many numbers a hybrid of a configuration holds, found without making room for them."""
    try:
        with torch.device("meta"):
            hybrid = ManticoreForCausalLM(ManticoreConfig.from_dict(config))
    except (*_UNFIT, OSError) as error:
        raise NotAnExportError(f"its hybrid cannot be built ({_brief(error)})") from error
    return sum(map(torch.numel, [*hybrid.parameters(), *hybrid.buffers()]))


def _numel(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else f"{text[:160]}…"

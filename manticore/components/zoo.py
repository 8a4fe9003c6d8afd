"""The bundled components, by name.

A component is a folder that holds `config.json`, `model.safetensors`, the tokenizer and
`card.json`. `$MANTICORE_ZOO` may name a folder of such folders; it then replaces the bundled one.

This module imports neither torch nor Transformers: naming a component must cost nothing.
"""

import json
import os
from pathlib import Path
from typing import Any

from manticore.names import choose
from manticore.paths import bundled, expanded

ZOO_VARIABLE = "MANTICORE_ZOO"
"""Environment variable that names a folder of components to use instead of the bundled ones."""

CARD_FILE = "card.json"


def zoo_folder() -> Path:
    """Folder that holds one folder per component.

    Raises:
        FileNotFoundError: `$MANTICORE_ZOO` does not name a folder, or the package was installed
            without its data.
    """
    override = os.environ.get(ZOO_VARIABLE)
    if not override:
        return bundled("zoo")
    folder = expanded(override)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{ZOO_VARIABLE}={override!r} is not a folder: unset the variable to use the bundled "
            "components, or point it at a folder that holds one folder per component."
        )
    return folder


def has_zoo() -> bool:
    """Whether there is a folder of components at all."""
    try:
        zoo_folder()
    except FileNotFoundError:
        return False
    return True


def zoo_names() -> list[str]:
    """Names of the components that can be loaded as `zoo:NAME`, sorted."""
    return sorted(path.parent.name for path in zoo_folder().glob("*/config.json"))


def zoo_path(name: str) -> Path:
    """Folder of one bundled component, ready for Transformers' `from_pretrained`.

    Args:
        name: Component's name, with or without the prefix `zoo:`; options after a question mark do
            not matter here.

    Raises:
        UnknownNameError: No component has that name; the message suggests the nearest.
        FileNotFoundError: There is no folder of components.
    """
    name = name.removeprefix("zoo:").partition("?")[0]
    return zoo_folder() / choose(name, zoo_names(), "bundled component")


def zoo_card(name: str) -> dict[str, Any]:
    """Card of one bundled component: data, training, perplexities, a sample.

    Args:
        name: Component's name, with or without the prefix `zoo:`.

    Raises:
        UnknownNameError: No component has that name; the message suggests the nearest.
        FileNotFoundError: There is no folder of components.
    """
    return json.loads((zoo_path(name) / CARD_FILE).read_text(encoding="utf-8"))

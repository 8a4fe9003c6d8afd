"""Where the bundled components are, by name.

A component is a folder that holds `config.json`, `model.safetensors`, the tokenizer and
`card.json`. Folders are looked for in `$MANTICORE_ZOO` where that is set (it then replaces the
bundled folder), in the `assets/zoo` of a checkout, and in the package's installed data.

This module imports neither torch nor Transformers: naming a component must cost nothing.
"""

import difflib
import json
import os
import sysconfig
from pathlib import Path
from typing import Any

from manticore.paths import expanded

ZOO_VARIABLE = "MANTICORE_ZOO"
"""Environment variable that names a folder of components to use instead of the bundled ones."""

CARD_FILE = "card.json"


class UnknownZooModelError(LookupError):
    """No bundled component has that name."""


def zoo_folder() -> Path:
    """Folder that holds one folder per bundled component.

    Raises:
        FileNotFoundError: `$MANTICORE_ZOO` names no folder, or the package was installed without
            its assets.
    """
    override = os.environ.get(ZOO_VARIABLE)
    if override:
        folder = expanded(override)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{ZOO_VARIABLE}={override!r} is not a folder: unset the variable to use the "
                "bundled components, or point it at a folder that holds one folder per component"
            )
        return folder
    candidates = _asset_folders()
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"the bundled components are in none of {', '.join(map(str, candidates))}: reinstall the "
        f"package, run from a checkout, or set {ZOO_VARIABLE} to a folder of components"
    )


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
        name: component's name, with or without the prefix `zoo:`.

    Raises:
        UnknownZooModelError: no component has that name; the message gives the nearest ones.
    """
    plain = name.removeprefix("zoo:")
    names = zoo_names()
    if plain not in names:
        raise UnknownZooModelError(unknown_name_message(plain, names))
    return zoo_folder() / plain


def unknown_name_message(name: str, known: list[str]) -> str:
    """What to tell somebody who asked for `name`: the nearest known names, and all of them."""
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(nearest)}? " if nearest else ""
    return f"no bundled component is called {name!r}: {hint}There are {', '.join(known) or 'none'}"


def zoo_card(name: str) -> dict[str, Any]:
    """What is known of one bundled component: data, training, perplexities, a sample.

    Args:
        name: component's name, with or without the prefix `zoo:`.

    Raises:
        UnknownZooModelError: no component has that name.
    """
    return json.loads((zoo_path(name) / CARD_FILE).read_text(encoding="utf-8"))


def _asset_folders() -> list[Path]:
    checkout = Path(__file__).resolve().parents[2]
    return [
        checkout / "assets" / "zoo",
        Path(sysconfig.get_path("data")) / "share" / "manticore" / "zoo",
    ]

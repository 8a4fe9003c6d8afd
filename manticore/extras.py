"""Packages that only a part of Manticore needs, and the extra that installs each."""

import importlib.util

EXTRAS = {
    "gradio": "app",
    "IPython": "notebook",
    "anywidget": "notebook",
    "gguf": "gguf",
    "ipywidgets": "notebook",
    "peft": "lora",
    "ray": "sweep",
    "PIL": "lra",
    "sklearn": "lra",
    "tensorboard": "track",
}
"""Importable name to extra, as in `pip install "manticore-hybrids[EXTRA]"`."""


class MissingExtraError(ModuleNotFoundError):
    """A package that belongs to an extra is not installed."""


def require(what: str, *modules: str) -> None:
    """Refuse, before anything starts, what needs a package that is not installed.

    Args:
        what: The subject of the message, such as `The page`.
        modules: Importable names from `EXTRAS`. They are looked up, not imported.

    Raises:
        MissingExtraError: A package is missing; the message says how to install it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        extras = ",".join(sorted({EXTRAS[module] for module in missing}))
        raise MissingExtraError(
            f"{what} needs {' and '.join(missing)}: "
            f'run `pip install "manticore-hybrids[{extras}]"`.',
            name=missing[0],
        )

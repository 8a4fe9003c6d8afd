"""Text to train and measure on: files, folders, hub data sets, code and stories."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manticore.data.floor import entropy_per_token
    from manticore.data.text import TextData, load_text

__all__ = ["TextData", "entropy_per_token", "load_text"]

# Imported on first use: they need torch, and to check a text's name does not.
_HOMES = {
    "TextData": "manticore.data.text",
    "entropy_per_token": "manticore.data.floor",
    "load_text": "manticore.data.text",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manticore.data' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)

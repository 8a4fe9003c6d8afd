"""Metrics: perplexity and alignment error.

Imported on first use, as they need torch: `manticore.evaluate` is a verb of the public face too,
which stands over this package, and so the package must be loaded before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manticore.evaluate.alignment import AlignmentError, alignment_error
    from manticore.evaluate.losses import mean_loss, measure_text, perplexity

__all__ = ["AlignmentError", "alignment_error", "mean_loss", "measure_text", "perplexity"]

_HOMES = {"AlignmentError": "alignment", "alignment_error": "alignment"} | dict.fromkeys(
    ("mean_loss", "measure_text", "perplexity"), "losses"
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manticore.evaluate' has no attribute '{name}'")
    return getattr(import_module(f"manticore.evaluate.{_HOMES[name]}"), name)

"""Metrics: perplexity, alignment error, and the components' share in each token of a text.

Imported on first use, as they need torch: `manticore.evaluate` is a verb of the public face too,
which stands over this package, and so the package must be loaded before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manticore.evaluate.alignment import AlignmentError, alignment_error
    from manticore.evaluate.authorship import WhoWrote, who_wrote
    from manticore.evaluate.losses import mean_loss, measure_text, perplexity

__all__ = [
    "AlignmentError",
    "WhoWrote",
    "alignment_error",
    "mean_loss",
    "measure_text",
    "perplexity",
    "who_wrote",
]

_HOMES = {
    "AlignmentError": "alignment",
    "WhoWrote": "authorship",
    "alignment_error": "alignment",
    "mean_loss": "losses",
    "measure_text": "losses",
    "perplexity": "losses",
    "who_wrote": "authorship",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manticore.evaluate' has no attribute '{name}'")
    return getattr(import_module(f"manticore.evaluate.{_HOMES[name]}"), name)

"""Metrics: perplexity and alignment error."""

from manticore.evaluate.alignment import AlignmentError, alignment_error
from manticore.evaluate.perplexity import mean_loss, perplexity

__all__ = ["AlignmentError", "alignment_error", "mean_loss", "perplexity"]

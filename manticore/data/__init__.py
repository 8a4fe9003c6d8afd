"""Text to train and measure on: files, folders, hub data sets, code and stories."""

from manticore.data.floor import entropy_per_token
from manticore.data.text import TextData, load_text

__all__ = ["TextData", "entropy_per_token", "load_text"]

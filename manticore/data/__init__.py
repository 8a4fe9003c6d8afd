"""Text to train and measure on: files, folders, hub data sets and generated stories."""

from manticore.data.text import TextData, load_text

__all__ = ["TextData", "load_text"]

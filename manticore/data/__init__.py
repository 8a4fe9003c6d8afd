"""Text to train and measure on: files, folders, hub datasets and generated stories."""

from manticore.data.stories import (
    Entropy,
    Story,
    entropy_per_token,
    generate_stories,
    sample_stories,
    story_entropy,
    story_log_probability,
)
from manticore.data.text import TextData, load_text

__all__ = [
    "Entropy",
    "Story",
    "TextData",
    "entropy_per_token",
    "generate_stories",
    "load_text",
    "sample_stories",
    "story_entropy",
    "story_log_probability",
]

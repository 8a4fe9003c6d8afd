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

__all__ = [
    "Entropy",
    "Story",
    "entropy_per_token",
    "generate_stories",
    "sample_stories",
    "story_entropy",
    "story_log_probability",
]

"""A generator of stories in several languages, whose entropy is known exactly."""

from manticore.stories.generator import (
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

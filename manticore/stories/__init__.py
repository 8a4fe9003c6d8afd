"""A generator of stories in several languages, whose entropy is known exactly."""

from manticore.stories.entropy import Entropy, story_entropy
from manticore.stories.generator import (
    LANGUAGES,
    Story,
    generate_stories,
    sample_stories,
    story_log_probability,
)

__all__ = [
    "LANGUAGES",
    "Entropy",
    "Story",
    "generate_stories",
    "sample_stories",
    "story_entropy",
    "story_log_probability",
]

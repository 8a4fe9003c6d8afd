"""The entropy of the stories: the mean of their exact surprisals."""

import math
import re
import zlib
from collections import Counter

import pytest

from manticore.stories import sample_stories, story_entropy


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_entropy_is_the_mean_surprisal_and_below_simpler_codes(language):
    stories = list(sample_stories(language, n_stories=600, seed=8))
    mean = sum(s.nats for s in stories) / len(stories)
    entropy = story_entropy(language, n=600)
    assert entropy.nats == pytest.approx(mean, abs=6 * entropy.standard_error)
    words = [word for s in stories for word in re.findall(r"\w+|\W", s.text)]
    counts = Counter(words)
    unigram = -sum(n * math.log(n / len(words)) for n in counts.values()) / len(stories)
    text = "\n".join(s.text for s in stories).encode()
    gzip = len(zlib.compress(text, 9)) * math.log(256) / len(stories)
    assert entropy.nats < gzip < unigram


def test_one_story_is_too_few():
    with pytest.raises(ValueError, match="n=1 is too small"):
        story_entropy("en", n=1)

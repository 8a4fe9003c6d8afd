"""The floor of the loss on stories: nats per token, over all tokens that a story becomes."""

import numpy as np
import pytest

from manticore.data import entropy_per_token, floor
from manticore.data.floor import floor_of_stories
from manticore.data.packing import token_blocks
from manticore.stories import sample_stories


@pytest.mark.parametrize("bos", [False, True])
def test_entropy_per_token_is_the_ratio_of_means(tokenizer, with_bos, bos):
    used = with_bos if bos else tokenizer
    stories = list(sample_stories("en", n_stories=300, stream="entropy"))
    blocks = token_blocks([(story.text, True) for story in stories], used)
    expected = sum(story.nats for story in stories) / len(np.concatenate(list(blocks)))
    entropy = entropy_per_token("en", used, n=300)
    assert entropy.nats == pytest.approx(expected)
    assert float(entropy) == entropy.nats
    assert 0 < entropy.standard_error < 0.02 * entropy.nats
    assert "nats per token" in str(entropy)


def test_bos_lowers_the_floor(tokenizer, with_bos):
    alone, led = (entropy_per_token("en", one, n=20).nats for one in (tokenizer, with_bos))
    assert led < alone


@pytest.fixture
def sample(monkeypatch):
    """How many stories a floor is measured on: fewer."""
    monkeypatch.setattr(floor, "SAMPLE", 200)
    return 200


def test_a_floor_is_measured_once(tokenizer, with_bos, tmp_path, sample):
    measured = floor_of_stories("es", tokenizer, tmp_path)
    assert measured == entropy_per_token("es", tokenizer, n=sample)
    (kept,) = (tmp_path / "floors").iterdir()
    kept.write_text(kept.read_text().replace("nats per token", "nats per word"))
    assert floor_of_stories("es", tokenizer, tmp_path).unit == "nats per word"
    assert floor_of_stories("es", with_bos, tmp_path) != measured
    kept.write_text("{")
    assert floor_of_stories("es", tokenizer, tmp_path) == measured
    assert floor_of_stories("es", tokenizer, tmp_path) == measured
    assert len(list((tmp_path / "floors").iterdir())) == 2


def test_a_floor_that_cannot_be_kept_is_measured(tokenizer, tmp_path, sample):
    (tmp_path / "floors").touch()
    measured = floor_of_stories("en", tokenizer, tmp_path)
    assert measured == entropy_per_token("en", tokenizer, n=sample)

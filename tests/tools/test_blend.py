"""Batches in fixed proportions, as a function of the step alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.zoo import blend
from tools.zoo.blend import TokenBlend, load_stream, python_modules
from tools.zoo.recipes import PYTHON_SOURCE, Share

# Parts are told apart by their tokens: 0.. for the first, 10,000.. for the second.
STREAMS = [np.arange(0, 900, dtype=np.uint16), np.arange(10_000, 10_500, dtype=np.uint16)]


def mixture(seed: int = 3, rows: int = 4, fractions: tuple[float, float] = (0.7, 0.3)):
    return TokenBlend(STREAMS, fractions, seq_len=8, rows=rows, seed=seed)


def test_rows_are_stretches_of_one_part():
    for step in range(30):
        for row in mixture().batch(step).tolist():
            assert row == list(range(row[0], row[0] + 8))


@given(first=st.floats(0.3, 0.7), rows=st.integers(4, 9))
def test_proportions_hold_at_every_length(first, rows):
    mixed = mixture(rows=rows, fractions=(first, 1 - first))
    drawn = 0
    for step in range(25):
        drawn += int((mixed.batch(step)[:, 0] < 10_000).sum())
        assert abs(drawn - first * rows * (step + 1)) <= 1


def test_a_step_does_not_depend_on_the_steps_before():
    forwards = [mixture().batch(step) for step in range(60)]
    backwards = mixture()
    for step in reversed(range(60)):
        assert backwards.batch(step).equal(forwards[step])


def test_no_row_comes_twice_in_an_epoch_and_epochs_differ():
    mixed = TokenBlend(STREAMS[:1], [1.0], seq_len=8, rows=1, seed=0)
    per_epoch = len(STREAMS[0]) // 8 - 1
    epochs = [
        [int(mixed.batch(e * per_epoch + i)[0, 0]) for i in range(per_epoch)] for e in range(2)
    ]
    assert all(len(set(starts)) == per_epoch for starts in epochs)
    assert epochs[0] != epochs[1]


def test_seeds_differ():
    assert not mixture(seed=1).batch(0).equal(mixture(seed=2).batch(0))


def test_short_text_is_an_error():
    with pytest.raises(ValueError, match="Part 1 has 10 tokens, fewer than two rows of 8"):
        TokenBlend([STREAMS[0], STREAMS[1][:10]], (0.5, 0.5), seq_len=8, rows=4, seed=0)


def test_a_part_under_one_row_per_batch_is_an_error():
    with pytest.raises(ValueError, match=r"0\.1 of 4 rows is less than one row"):
        mixture(fractions=(0.9, 0.1))


def test_a_missing_file_is_named(tmp_path):
    share = Share(source="nothing.txt", fraction=1.0)
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt is missing"):
        load_stream(share, None, data_dir=tmp_path, cache=tmp_path / "streams")


def test_code_is_the_training_part_of_the_standard_library(tmp_path, monkeypatch, tokenizer):
    parts = {"train": ["import a", "import b"], "valid": ["import c"]}
    monkeypatch.setattr(blend, "python_modules", parts.__getitem__)
    share = Share(source=PYTHON_SOURCE, fraction=1.0)
    folders = {"data_dir": tmp_path / "none", "cache": tmp_path / "streams"}
    stream = load_stream(share, tokenizer, **folders)
    assert tokenizer.decode(stream) == "import a<|endoftext|>import b<|endoftext|>"
    monkeypatch.delattr(blend, "python_modules")
    assert (load_stream(share, tokenizer, **folders) == stream).all(), "it was not kept"
    monkeypatch.setattr(blend.platform, "python_version", lambda: "3.99.0")
    with pytest.raises(NameError):  # another version is read again
        load_stream(share, tokenizer, **folders)


def test_parts_of_the_standard_library_share_no_module():
    train, valid = (list(python_modules(part)) for part in ("train", "valid"))
    assert len(train) > 10 * len(valid) > 0
    assert not set(train) & set(valid)
    assert any("class ElementTree:" in module for module in valid)

"""Each generator makes what its task is defined to be, for any setting it accepts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.tasks import TASKS, Setting, find_task
from manticore.tasks.drawing import BLOCK_TOKENS, IGNORED, Draw

N = 24
seeds = st.integers(0, 2**32)
few = settings(max_examples=40)


def make(setting: Setting, seed: int = 0, n: int = N, training: bool = False):
    stream, shared = np.random.SeedSequence(seed).spawn(2)
    draw = Draw(n, "train" if training else "test", np.random.default_rng(stream), shared)
    return find_task(setting.task).generate(setting, draw)


def recall_setting(
    half: int, extra: int, pairs: int, noise: int, share: float, multi: bool
) -> Setting:
    sizes = {"length": 2 * pairs, "multi_query": multi}
    vocabulary = 2 * half + extra + (not multi)
    if not noise:
        return Setting(task="in-context-recall", vocabulary=vocabulary, **sizes)
    return Setting(
        task="noisy-in-context-recall",
        vocabulary=vocabulary + noise,
        noise_vocabulary=noise,
        noise_share=share,
        **sizes,
    )


recall_settings = st.builds(
    recall_setting,
    half=st.integers(1, 9),
    extra=st.integers(0, 1),
    pairs=st.integers(2, 20),
    noise=st.integers(0, 5),
    share=st.floats(0, 0.95),
    multi=st.booleans(),
)


@few
@given(recall_settings, seeds)
def test_recall_asks_exactly_for_what_was_shown(setting: Setting, seed: int) -> None:
    inputs, targets = make(setting, seed)
    noise_vocabulary = getattr(setting, "noise_vocabulary", 0)
    n_tokens = setting.vocabulary - noise_vocabulary - (not setting.multi_query)
    assert inputs.shape == targets.shape
    assert inputs.shape[1] == setting.length - (1 if setting.multi_query else 0)
    for row, asked in zip(inputs, targets, strict=True):
        pairs, value_of, expected = row[: setting.length - 2].reshape(-1, 2), {}, []
        for key, value in pairs:
            if key >= n_tokens:  # noise comes in twos and is never asked
                assert value >= n_tokens
                expected += [IGNORED, IGNORED]
                continue
            assert key < n_tokens // 2 <= value < n_tokens
            known = key in value_of
            assert value_of.setdefault(key, value) == value
            expected += [value if known and setting.multi_query else IGNORED, IGNORED]
        if not setting.multi_query:
            assert row[-2] == setting.vocabulary - 1
            expected.append(IGNORED)
        expected.append(value_of[row[-1]])  # KeyError: the probe was never shown
        assert asked.tolist() == expected


@few
@given(recall_settings, seeds)
def test_recall_trains_on_the_next_token(setting: Setting, seed: int) -> None:
    inputs, targets = make(setting, seed, training=True)
    probed = make(setting, seed)[1]
    np.testing.assert_array_equal(targets[:, :-1], inputs[:, 1:])
    np.testing.assert_array_equal(targets[:, -1], probed[:, -1])


@st.composite
def fuzzy_settings(draw: st.DrawFn) -> Setting:
    key, value, multi = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.booleans())
    least = 2 * max(key, value) + (1 if multi else 2)
    return Setting(
        task="fuzzy-in-context-recall",
        vocabulary=least + draw(st.integers(0, 6)),
        length=3 * (key + value) + draw(st.integers(0, 30)),
        longest_key=key,
        longest_value=value,
        multi_query=multi,
    )


@few
@given(fuzzy_settings(), seeds, st.booleans())
def test_fuzzy_recall_asks_exactly_for_what_was_shown(
    setting: Setting, seed: int, training: bool
) -> None:
    inputs, targets = make(setting, seed, training=training)
    n_tokens = setting.vocabulary - (1 if setting.multi_query else 2)
    assert inputs.shape == targets.shape == (N, setting.length)
    if training:
        np.testing.assert_array_equal(targets[:, :-1], inputs[:, 1:])
    shortest = 1 if training else setting.longest_key
    for row, asked in zip(inputs, targets, strict=True):
        sequence = [*row.tolist(), int(asked[-1])]
        n_padding = sum(token == n_tokens for token in sequence)
        assert n_padding >= 1
        assert all(token == n_tokens for token in sequence[:n_padding])
        pairs = parse_pairs(sequence[n_padding:], n_tokens, announcement=setting.vocabulary - 1)
        value_of, expected = {}, [IGNORED] * n_padding
        for key, value, announced in pairs:
            assert shortest <= len(key) == len(set(key)) <= setting.longest_key
            assert 1 <= len(value) == len(set(value)) <= setting.longest_value
            last = len(expected) + announced + len(key) + len(value) == len(sequence)
            assert announced == (last and not setting.multi_query)
            known = key in value_of
            assert known or not last, "the probe was never shown"
            assert value_of.setdefault(key, value) == value
            probed = last or (known and setting.multi_query)
            expected += [IGNORED] * (announced + len(key))
            expected += value if probed else [IGNORED] * len(value)
        if not training:
            assert asked.tolist() == expected[1:]


def parse_pairs(tokens: list[int], n_tokens: int, announcement: int):
    """(key, value, announced) of a sequence: tokens of the first half are keys, then values."""
    pairs, index = [], 0
    while index < len(tokens):
        announced = tokens[index] == announcement
        index += announced
        motifs = []
        for low, high in ((0, n_tokens // 2), (n_tokens // 2, n_tokens)):
            start = index
            while index < len(tokens) and low <= tokens[index] < high:
                index += 1
            motifs.append(tuple(tokens[start:index]))
        pairs.append((*motifs, announced))
    return pairs


@few
@given(st.integers(3, 20), st.integers(1, 12), st.integers(1, 30), seeds)
def test_copies_come_in_order_after_blanks(
    vocabulary: int, n_copies: int, n_blanks: int, seed: int
) -> None:
    setting = Setting(
        task="selective-copying",
        vocabulary=vocabulary,
        length=2 * n_copies + 1 + n_blanks,
        tokens_to_copy=n_copies,
    )
    blank, copy = vocabulary - 2, vocabulary - 1
    inputs, targets = make(setting, seed)
    for row, asked in zip(inputs, targets, strict=True):
        shown, end = row[: n_copies + n_blanks], row[n_copies + n_blanks :]
        assert end.tolist() == [copy] + [blank] * n_copies
        assert (shown == blank).sum() == n_blanks
        assert shown[-1] != blank
        assert (shown < copy).all()
        assert asked[-n_copies:].tolist() == shown[shown != blank].tolist()
        assert (asked[:-n_copies] == IGNORED).all()


@few
@given(st.integers(3, 20), st.integers(2, 30), seeds)
def test_compression_asks_for_its_inputs(vocabulary: int, length: int, seed: int) -> None:
    inputs, targets = make(Setting(task="compression", vocabulary=vocabulary, length=length), seed)
    np.testing.assert_array_equal(inputs, targets)
    assert (inputs[:, -1] == vocabulary - 1).all()
    assert (inputs[:, :-1] < vocabulary - 1).all()


@few
@given(st.integers(3, 20), st.integers(1, 15), seeds)
def test_memorization_has_one_map_and_never_shows_values(
    vocabulary: int, n_pairs: int, seed: int
) -> None:
    setting = Setting(task="memorization", vocabulary=vocabulary, length=2 * n_pairs)
    value_of: dict[int, int] = {}
    for training in (True, False):
        inputs, targets = make(setting, seed, training=training)
        assert (inputs[:, 1::2] == vocabulary - 1).all()
        assert (targets[:, ::2] == IGNORED).all()
        n_keys = (vocabulary - 1) // 2
        for key, value in zip(inputs[:, ::2].flat, targets[:, 1::2].flat, strict=True):
            assert key < n_keys <= value < vocabulary - 1
            assert value_of.setdefault(key, value) == value
    assert len(set(value_of.values())) == len(value_of)


def test_another_seed_makes_another_memorization_map() -> None:
    setting = Setting(task="memorization")
    maps = []
    for seed in (0, 1):
        inputs, targets = make(setting, seed, n=256)
        maps.append(dict(zip(inputs[:, ::2].flat, targets[:, 1::2].flat, strict=True)))
    assert maps[0].keys() == maps[1].keys()
    assert maps[0] != maps[1]


@pytest.mark.parametrize("task", TASKS)
def test_a_data_set_of_several_blocks_is_whole(task: str) -> None:
    setting = Setting(task=task, **find_task(task).quick)
    n = BLOCK_TOKENS // setting.length + 3
    inputs, targets = make(setting, n=n)
    assert len(inputs) == len(targets) == n
    assert inputs.dtype == targets.dtype == np.int64
    assert inputs.min() >= 0
    assert inputs.max() < setting.vocabulary
    assert targets.max() < setting.vocabulary
    assert (targets != IGNORED).any(1).all()
    assert len(np.unique(inputs, axis=0)) > 0.9 * n  # a stream goes on from block to block


def test_noise_has_its_share() -> None:
    setting = Setting(task="noisy-in-context-recall")
    inputs, _ = make(setting, n=2_000)
    first = inputs[:, :126:2]
    noise = (first >= 16).mean()
    assert noise == pytest.approx(0.2 * 62 / 63, abs=0.005)  # one pair in 63 is spared

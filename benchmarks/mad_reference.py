"""The MAD tasks the straightforward way: one example at a time, drawn from its vocabularies.

The vectorized tasks are timed and tested against these: same definitions, same arguments, the same
distribution, different random numbers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from manticore.config.setting import Setting
from manticore.tasks.compression import Compression
from manticore.tasks.drawing import IGNORED, Arrays, Draw
from manticore.tasks.fuzzy_in_context_recall import FuzzyInContextRecall
from manticore.tasks.memorization import Memorization
from manticore.tasks.noisy_in_context_recall import NoisyInContextRecall
from manticore.tasks.recall import RecallSetting
from manticore.tasks.selective_copying import SelectiveCopying

Example = tuple[np.ndarray, np.ndarray]  # inputs, targets


def _shift(tokens: list[int], asked: list[int], training: bool) -> Example:
    return np.array(tokens[:-1]), np.array((tokens if training else asked)[1:])


def in_context_recall(setting: RecallSetting, draw: Draw) -> Example:
    """One example of (noisy) in-context recall."""
    rng = draw.rng
    noise_vocabulary, noise_share = 0, 0.0
    if isinstance(setting, NoisyInContextRecall):
        noise_vocabulary, noise_share = setting.noise_vocabulary, setting.noise_share
    n_tokens = setting.vocabulary - noise_vocabulary - (0 if setting.multi_query else 1)
    key_tokens = np.arange(n_tokens // 2)
    value_tokens = np.arange(n_tokens // 2, n_tokens)
    noise_tokens = np.arange(n_tokens, n_tokens + noise_vocabulary)
    n_pairs = setting.length // 2 - 1
    no_noise = rng.integers(n_pairs)
    value_of: dict[int, int] = {}
    tokens: list[int] = []
    asked: list[int] = []
    for pair in range(n_pairs):
        if noise_share and pair != no_noise and rng.random() < noise_share:
            tokens += rng.choice(noise_tokens, size=2).tolist()
            asked += [IGNORED, IGNORED]
            continue
        key = int(rng.choice(key_tokens))
        known = key in value_of
        if not known:
            value_of[key] = int(rng.choice(value_tokens))
        tokens += [key, value_of[key]]
        asked += [IGNORED, value_of[key] if known and setting.multi_query else IGNORED]
    probe = int(rng.choice(list(value_of)))
    if not setting.multi_query:
        tokens.append(setting.vocabulary - 1)
        asked.append(IGNORED)
    tokens += [probe, value_of[probe]]
    asked += [IGNORED, value_of[probe]]
    return _shift(tokens, asked, draw.training)


def fuzzy_in_context_recall(setting: FuzzyInContextRecall, draw: Draw) -> Example:
    """One example of fuzzy in-context recall."""
    rng = draw.rng
    n_tokens = setting.vocabulary - (1 if setting.multi_query else 2)
    key_tokens = np.arange(n_tokens // 2)
    value_tokens = np.arange(n_tokens // 2, n_tokens)
    longest = setting.longest_key + setting.longest_value
    shortest_key = 1 if draw.training else setting.longest_key

    def draw_key() -> tuple[int, ...]:
        size = rng.integers(shortest_key, setting.longest_key + 1)
        return tuple(rng.choice(key_tokens, size, replace=False).tolist())

    def draw_value() -> tuple[int, ...]:
        size = rng.integers(1, setting.longest_value + 1)
        return tuple(rng.choice(value_tokens, size, replace=False).tolist())

    probe, answer = draw_key(), draw_value()
    probe_size = len(probe) + len(answer)
    end = setting.length - probe_size - longest
    position = min(rng.integers(setting.length - 2 * probe_size), end - longest)
    value_of = {probe: answer}
    shown: set[tuple[int, ...]] = set()
    tokens: list[int] = []
    asked: list[int] = []
    while len(tokens) < end:
        key = probe if len(tokens) >= position and probe not in shown else draw_key()
        if key not in value_of:
            value_of[key] = draw_value()
        value = value_of[key]
        tokens += [*key, *value]
        asked += [IGNORED] * len(key)
        asked += value if key in shown and setting.multi_query else [IGNORED] * len(value)
        shown.add(key)
    if not setting.multi_query:
        tokens.append(setting.vocabulary - 1)
        asked.append(IGNORED)
    tokens += [*probe, *answer]
    asked += [*[IGNORED] * len(probe), *answer]
    padding = setting.length + 1 - len(tokens)
    return _shift([n_tokens] * padding + tokens, [IGNORED] * padding + asked, draw.training)


def selective_copying(setting: SelectiveCopying, draw: Draw) -> Example:
    """One example of selective copying."""
    n_copies, blank = setting.tokens_to_copy, setting.vocabulary - 2
    n_blanks = setting.length - 2 * n_copies - 1
    to_copy = draw.rng.choice(np.arange(blank), size=n_copies).tolist()
    places = draw.rng.choice(n_copies, size=n_blanks).tolist()
    tokens: list[int] = []
    for place, token in enumerate(to_copy):
        tokens += [blank] * places.count(place) + [token]
    tokens += [setting.vocabulary - 1] + [blank] * n_copies
    return np.array(tokens), np.array([IGNORED] * (n_copies + n_blanks + 1) + to_copy)


def compression(setting: Compression, draw: Draw) -> Example:
    """One example of compression."""
    tokens = draw.rng.choice(np.arange(setting.vocabulary - 1), size=setting.length - 1)
    inputs = np.append(tokens, setting.vocabulary - 1)
    return inputs, inputs.copy()


def memorization(setting: Memorization, draw: Draw, value_of: dict[int, int]) -> Example:
    """One example of memorization."""
    keys = list(value_of)
    tokens: list[int] = []
    asked: list[int] = []
    for _ in range(setting.length // 2):
        key = int(draw.rng.choice(keys))
        tokens += [key, setting.vocabulary - 1]
        asked += [IGNORED, value_of[key]]
    return np.array(tokens), np.array(asked)


def _key_value_map(setting: Memorization, draw: Draw) -> dict[int, int]:
    n_tokens = setting.vocabulary - 1
    values = np.random.default_rng(draw.shared).permutation(np.arange(n_tokens // 2, n_tokens))
    return dict(zip(range(n_tokens // 2), values.tolist(), strict=False))


REFERENCES: dict[str, Callable[[Any, Draw], Example]] = {
    "in-context-recall": in_context_recall,
    "fuzzy-in-context-recall": fuzzy_in_context_recall,
    "noisy-in-context-recall": in_context_recall,
    "selective-copying": selective_copying,
    "compression": compression,
}


def generate(setting: Setting, draw: Draw) -> Arrays:
    """A whole data set, example by example: inputs and targets, (N, T) int64."""
    if isinstance(setting, Memorization):
        value_of = _key_value_map(setting, draw)
        examples = [memorization(setting, draw, value_of) for _ in range(draw.n_examples)]
    else:
        make = REFERENCES[setting.task]
        examples = [make(setting, draw) for _ in range(draw.n_examples)]
    inputs, targets = zip(*examples, strict=True)
    return np.stack(inputs), np.stack(targets)

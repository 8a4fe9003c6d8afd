"""The six synthetic tasks of Mechanistic Architecture Design (arXiv 2403.17844, appendix B.1).

One function makes a whole data set: `function(setting, draw)` gives inputs (N, T) and targets
(N, T), int64, where `targets[:, t]` is what is asked of the output at position t (it may see inputs
up to t), and -100 where nothing is asked. The distributions are those of the code that was
published with the paper, with the departures that the functions name.

The recall tasks train on the next token everywhere and are tested on the probed positions; the
other tasks ask the same in training and in testing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from manticore.mad.settings import Setting

IGNORED = -100
Examples = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Draw:
    """One data set to make of a task.

    Attributes:
        n_examples: N.
        training: for training (else for testing).
        rng: the stream of this data set.
        shared: the seed of what all data sets of the task have in common, whichever comes first.
    """

    n_examples: int
    training: bool
    rng: np.random.Generator
    shared: np.random.SeedSequence


def in_context_recall(setting: Setting, draw: Draw) -> Examples:
    """Key-value pairs in a row; a key that came before asks for its value again.

    The first half of the vocabulary are keys, the second half values. Each example has a map of
    its own from keys to values, drawn independently (two keys may share a value); keys are drawn
    independently too. The last pair probes a key drawn evenly from those that came before.
    Multi-query: every value whose key came before is asked, T = length - 1. Single query: only the
    last value is asked, and the vocabulary's last token announces its key, T = length.

    With noise, a pair is two tokens of the noise vocabulary (after the values) with probability
    `noise_share`, but for one pair of each example, drawn evenly from all that precede the probe.
    Departure: as published that pair may also be the probe itself, so that an example could be
    noise alone, and making it fails.
    """
    rng, n, n_pairs = draw.rng, draw.n_examples, setting.length // 2 - 1
    noise_vocabulary = setting.noise_vocabulary or 0
    n_tokens = setting.vocabulary - noise_vocabulary - (not setting.multi_query)
    n_keys = n_tokens // 2

    keys = rng.integers(n_keys, size=(n, n_pairs))
    value_of = rng.integers(n_keys, n_tokens, size=(n, n_keys))
    pairs = np.stack([keys, np.take_along_axis(value_of, keys, 1)], axis=2)  # (N, pairs, 2)
    noise = np.zeros((n, n_pairs), dtype=bool)
    if setting.noise_share:
        noise = rng.random((n, n_pairs)) < setting.noise_share
        noise[np.arange(n), rng.integers(n_pairs, size=n)] = False
        pairs[noise] = n_tokens + rng.integers(noise_vocabulary, size=(noise.sum(), 2))
        keys = np.where(noise, n_keys, keys)
    repeated = (_first_occurrence(keys) < np.arange(n_pairs)) & ~noise

    shown = np.zeros((n, n_keys + 1), dtype=bool)
    shown[np.arange(n)[:, None], keys] = True
    probe = np.where(shown[:, :n_keys], rng.random((n, n_keys)), -1).argmax(1)[:, None]
    announcement = np.full((n, 0 if setting.multi_query else 1), setting.vocabulary - 1)
    answer = np.take_along_axis(value_of, probe, 1)
    sequence = np.concatenate([pairs.reshape(n, -1), announcement, probe, answer], axis=1)

    asked = np.zeros(sequence.shape, dtype=bool)
    asked[:, -1] = True
    if setting.multi_query:
        asked[:, 1 : 2 * n_pairs : 2] = repeated
    return _next_token_examples(sequence, asked, draw.training)


def fuzzy_in_context_recall(setting: Setting, draw: Draw) -> Examples:
    """In-context recall whose keys and values are of several tokens.

    A key is of 1 to `longest_key` unlike tokens of the first half of the vocabulary, of
    `longest_key` always in testing; a value of 1 to `longest_value` unlike tokens of the second
    half. The pair that the end probes is drawn first. Pairs follow each other (a length drawn
    evenly, then tokens) until the next one might not fit; the probed pair is put in at the first
    boundary at or after a position drawn evenly, unless its key came up by chance. Padding (the
    last token; the last but one in single query, where the last token announces the probe) fills
    the front, never the end. T = length.

    Departure: as published the position may lie behind the last boundary, so that in about one
    example in twenty the probe was never shown. Such a position is moved forward to one that is
    always reached.
    """
    rng, n, length = draw.rng, draw.n_examples, setting.length
    longest = setting.longest_key + setting.longest_value
    n_tokens = setting.vocabulary - (1 if setting.multi_query else 2)
    shortest_key = 1 if draw.training else setting.longest_key
    n_slots = length // (shortest_key + 1) + 1  # the probed pair in column 0, then all that may fit

    key_sizes = rng.integers(shortest_key, setting.longest_key + 1, size=(n, n_slots))
    value_sizes = rng.integers(1, setting.longest_value + 1, size=(n, n_slots))
    keys = _unlike_tokens(rng, n_tokens // 2, key_sizes, setting.longest_key)
    values = _unlike_tokens(rng, n_tokens - n_tokens // 2, value_sizes, setting.longest_value)
    values = np.where(values >= 0, values + n_tokens // 2, values)
    # A key keeps the value of the first pair that it is in.
    powers = (n_tokens // 2 + 1) ** np.arange(setting.longest_key)
    first = _first_occurrence((keys + 1) @ powers)
    values = np.take_along_axis(values, first[:, :, None], 1)
    tokens = np.concatenate([keys, values], axis=2)  # (N, slots, longest), -1 where there is none
    sizes = (tokens >= 0).sum(2)

    probe_size = sizes[:, :1]
    end = length - probe_size - longest  # no pair starts here or later
    position = np.minimum(rng.integers(length - 2 * probe_size), end - longest)
    order = _place_probe(sizes, first == 0, position)
    tokens = np.take_along_axis(tokens, order[:, :, None], 1)
    sizes, first = (np.take_along_axis(a, order, 1) for a in (sizes, first))
    kept = np.cumsum(sizes, 1) - sizes < end
    is_probe = first == 0
    repeated = np.where(is_probe, np.cumsum(is_probe, 1) > 1, first != order)

    tokens[~kept] = -1
    announcement = np.full((n, 0 if setting.multi_query else 1), setting.vocabulary - 1)
    probe = np.concatenate([keys[:, 0], values[:, 0]], axis=1)
    written = np.concatenate([tokens.reshape(n, -1), announcement, probe], axis=1)
    asked = np.zeros(written.shape, dtype=bool)
    asked[:, -setting.longest_value :] = True
    if setting.multi_query:
        by_slot = asked[:, : tokens[0].size].reshape(tokens.shape)
        by_slot[:, :, setting.longest_key :] = repeated[:, :, None]
    sequence, asked = _push_right(written, asked, length + 1, padding=n_tokens)
    return _next_token_examples(sequence, asked, draw.training)


def selective_copying(setting: Setting, draw: Draw) -> Examples:
    """Tokens to remember with blanks in between; after a copy token they are asked in order.

    `length - 2 * tokens_to_copy - 1` blanks (the vocabulary's last token but one) are each put in
    front of one of the tokens, drawn evenly: there is none between the last token and the copy
    token (the vocabulary's last). As many blanks as tokens follow that, and the i-th of them asks
    for the i-th token. T = length.
    """
    rng, n, n_copies = draw.rng, draw.n_examples, setting.tokens_to_copy
    blank, copy = setting.vocabulary - 2, setting.vocabulary - 1
    n_blanks = setting.length - 2 * n_copies - 1
    tokens = rng.integers(blank, size=(n, n_copies))
    blanks_before = rng.multinomial(n_blanks, np.full(n_copies, 1 / n_copies), size=n)
    inputs = np.full((n, setting.length), blank)
    positions = np.arange(n_copies) + np.cumsum(blanks_before, 1)
    np.put_along_axis(inputs, positions, tokens, 1)
    inputs[:, n_copies + n_blanks] = copy
    targets = np.full((n, setting.length), IGNORED)
    targets[:, -n_copies:] = tokens
    return inputs, targets


def compression(setting: Setting, draw: Draw) -> Examples:
    """Tokens drawn evenly, then a compression token (the last); all of them are asked. T = length.

    The targets are the inputs, each at its own position, and every one is to be decoded from the
    last position's hidden state: see `manticore.mad.reconstruction`.
    """
    inputs = np.full((draw.n_examples, setting.length), setting.vocabulary - 1)
    inputs[:, :-1] = draw.rng.integers(setting.vocabulary - 1, size=inputs[:, :-1].shape)
    return inputs, inputs.copy()


def memorization(setting: Setting, draw: Draw) -> Examples:
    """Keys in a row, each followed by an insert token (the last) that asks for the key's value.

    The map from keys (first half of the vocabulary) to values (second half, no two alike) is one
    for all examples, of training and of testing, and its values are never shown. T = length.
    """
    n, n_tokens = draw.n_examples, setting.vocabulary - 1
    n_keys = n_tokens // 2
    value_of = n_keys + np.random.default_rng(draw.shared).permutation(n_tokens - n_keys)
    keys = draw.rng.integers(n_keys, size=(n, setting.length // 2))
    inputs = np.full((n, setting.length), setting.vocabulary - 1)
    targets = np.full((n, setting.length), IGNORED)
    inputs[:, ::2] = keys
    targets[:, 1::2] = value_of[keys]
    return inputs, targets


def _next_token_examples(sequence: np.ndarray, asked: np.ndarray, training: bool) -> Examples:
    """Inputs and targets (N, T) of a sequence (N, T + 1) and of which of its tokens are asked."""
    targets = sequence if training else np.where(asked, sequence, IGNORED)
    return sequence[:, :-1], targets[:, 1:]


def _first_occurrence(codes: np.ndarray) -> np.ndarray:
    """For each entry (N, M) the first column of its row that holds the same code (0 or more)."""
    n_columns = codes.shape[1]
    columns = np.arange(n_columns)
    in_order = np.sort(codes * n_columns + columns, axis=1)  # by code, then by column
    code, column = np.divmod(in_order, n_columns)
    starts = np.zeros(codes.shape, dtype=codes.dtype)
    starts[:, 1:] = np.where(code[:, 1:] != code[:, :-1], columns[1:], 0)
    first = np.take_along_axis(column, np.maximum.accumulate(starts, axis=1), 1)
    result = np.empty_like(first)
    np.put_along_axis(result, column, first, 1)
    return result


def _unlike_tokens(
    rng: np.random.Generator, n_tokens: int, sizes: np.ndarray, longest: int
) -> np.ndarray:
    """Tokens below `n_tokens`, no two alike, as many as `sizes` (N, M) says: (N, M, longest).

    Every ordered choice is equally likely; -1 fills the places that are left.
    """
    tokens = np.empty((*sizes.shape, longest), dtype=np.int64)
    for place in range(longest):
        draws = rng.integers(n_tokens - place, size=sizes.shape)
        for taken in np.moveaxis(np.sort(tokens[..., :place], axis=-1), -1, 0):
            draws += draws >= taken
        tokens[..., place] = draws
    return np.where(np.arange(longest) < sizes[:, :, None], tokens, -1)


def _place_probe(sizes: np.ndarray, is_probe: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The order in which pairs follow each other: (N, M) column numbers.

    Column 0, the probed pair, goes in front of the first other pair that starts at `position`
    (N, 1) or later; it goes last where a pair with its key comes before that.
    """
    n_slots = sizes.shape[1]
    starts = np.cumsum(sizes[:, 1:], 1) - sizes[:, 1:]
    before = starts < position
    shown = (is_probe[:, 1:] & before).any(1, keepdims=True)
    place = np.where(shown, n_slots - 1, before.sum(1, keepdims=True))
    columns = np.arange(n_slots)
    return np.where(columns < place, columns + 1, np.where(columns == place, 0, columns))


def _push_right(
    tokens: np.ndarray, asked: np.ndarray, length: int, padding: int
) -> tuple[np.ndarray, np.ndarray]:
    """Close the gaps (-1) in tokens (N, M) and fill the front up to `length` with padding."""
    written = tokens >= 0
    n, counts = len(tokens), written.sum(1, keepdims=True)
    places = np.arange(length) >= length - counts
    sequence = np.full((n, length), padding)
    sequence[places] = tokens[written]
    closed = np.zeros((n, length), dtype=bool)
    closed[places] = asked[written]
    return sequence, closed

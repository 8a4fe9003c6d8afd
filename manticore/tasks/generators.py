"""The six synthetic tasks of Mechanistic Architecture Design (arXiv 2403.17844).

One function makes a whole data set: `function(setting, draw)` gives inputs (N, T) and targets
(N, T), int64, where `targets[:, t]` is what is asked of the output at position t (it may see inputs
up to t), and -100 where nothing is asked. The distributions are those of the code that was
published with the paper, with the departures that the functions name.

The recall tasks train on the next token everywhere and are tested on the probed positions; the
other tasks ask the same in training and in testing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from manticore.tasks import motifs

if TYPE_CHECKING:
    from manticore.tasks.settings import Setting

IGNORED = -100
BLOCK_TOKENS = 1 << 15
Examples = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Draw:
    """One data set to make of a task.

    Attributes:
        n_examples: N, 1 or more.
        training: for training (else for testing).
        rng: the stream of this data set.
        shared: the seed of what all data sets of the task have in common, whichever comes first.
    """

    n_examples: int
    training: bool
    rng: np.random.Generator
    shared: np.random.SeedSequence


def _blocks(setting: Setting, draw: Draw) -> Iterator[slice]:
    size = max(1, BLOCK_TOKENS // setting.length)
    for start in range(0, draw.n_examples, size):
        yield slice(start, min(start + size, draw.n_examples))


def _in_blocks(
    generate: Callable[[Setting, Draw], Examples],
) -> Callable[[Setting, Draw], Examples]:
    """Make a data set some hundred examples at a time, so that what is in between stays in cache.

    That is two to four times as fast as all at once, and bounds the memory beside the result.
    """

    @functools.wraps(generate)
    def whole(setting: Setting, draw: Draw) -> Examples:
        result: Examples | None = None
        for block in _blocks(setting, draw):
            made = generate(setting, replace(draw, n_examples=block.stop - block.start))
            if result is None:
                result = tuple(np.empty((draw.n_examples, a.shape[1]), a.dtype) for a in made)
            for array, part in zip(result, made, strict=True):
                array[block] = part
        return result

    return whole


@_in_blocks
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
    repeated = (motifs.first_occurrence(keys) < np.arange(n_pairs)) & ~noise

    shown = np.zeros((n, n_keys + 1), dtype=bool)
    np.put_along_axis(shown, keys, True, 1)
    probe = np.where(shown[:, :n_keys], rng.random((n, n_keys)), -1).argmax(1)[:, None]
    announcement = np.full((n, 0 if setting.multi_query else 1), setting.vocabulary - 1)
    answer = np.take_along_axis(value_of, probe, 1)
    sequence = np.concatenate([pairs.reshape(n, -1), announcement, probe, answer], axis=1)

    asked = np.zeros(sequence.shape, dtype=bool)
    asked[:, -1] = True
    if setting.multi_query:
        asked[:, 1 : 2 * n_pairs : 2] = repeated
    return _next_token_examples(sequence, asked, draw.training)


@_in_blocks
def fuzzy_in_context_recall(setting: Setting, draw: Draw) -> Examples:
    """In-context recall whose keys and values are of several tokens.

    A key is of 1 to `longest_key` unlike tokens of the first half of the vocabulary, of
    `longest_key` always in testing; a value of 1 to `longest_value` unlike tokens of the second
    half. The pair that the end probes is drawn first. Pairs follow each other (a length drawn
    evenly, then tokens) until the next one might not fit; the probed pair is put in at the first
    boundary at or after a position drawn evenly, unless its key came up by chance. Padding (the
    last token; the last but one in single query, where the last token announces the probe) fills
    the front, never the end. T = length.

    Departure: as published the position may lie behind the last boundary, so that in 2 to 3% of a
    baseline's examples the probe was never shown. Positions that might (5 to 6%) are moved forward
    to the last one that never does.
    """
    rng, n, length = draw.rng, draw.n_examples, setting.length
    n_special = 1 if setting.multi_query else 2
    n_tokens = setting.vocabulary - n_special
    n_keys = n_tokens // 2
    shortest_key = 1 if draw.training else setting.longest_key
    shape = (n, length // (shortest_key + 1) + 1)  # column 0 is the probed pair, then all that fit

    key_sizes = rng.integers(shortest_key, setting.longest_key + 1, size=shape)
    keys = motifs.unlike_tokens(rng, n_keys, shape, setting.longest_key)
    first = motifs.first_occurrence(motifs.codes(keys, key_sizes, n_keys))
    value_sizes = rng.integers(1, setting.longest_value + 1, size=shape)
    values = motifs.unlike_tokens(rng, n_tokens - n_keys, shape, setting.longest_value)
    # A key keeps the value of the first pair that it is in.
    value_sizes, *values = (np.take_along_axis(a, first, 1) for a in (value_sizes, *values))

    sizes = key_sizes + value_sizes
    probe_size = sizes[:, :1]
    end = length - probe_size - setting.longest_key - setting.longest_value  # no pair starts here
    latest = end - setting.longest_key - setting.longest_value
    position = np.minimum(rng.integers(length - 2 * probe_size), latest)
    starts, repeated = motifs.place_pairs(sizes, first, position, end)
    shown = starts < end
    width = length + 1
    starts += width - (sizes * shown).sum(1, keepdims=True) - probe_size - (n_special - 1)
    starts[~shown] = width  # behind the end: not written

    answer = [v[:, :1] + n_keys + setting.vocabulary for v in values]  # marked as asked
    in_context = np.where(repeated & setting.multi_query, setting.vocabulary, 0) + n_keys
    written = [
        (keys, starts),
        ([v + in_context for v in values], starts + key_sizes),
        ([k[:, :1] for k in keys], width - probe_size),
        (answer, width - value_sizes[:, :1]),
    ]
    if not setting.multi_query:
        announcement = np.full((n, 1), setting.vocabulary - 1)
        written.append(([announcement], width - probe_size - 1))
    sequence = motifs.write(written, (n, width), padding=n_tokens)
    asked = sequence >= setting.vocabulary
    return _next_token_examples(sequence - setting.vocabulary * asked, asked, draw.training)


def selective_copying(setting: Setting, draw: Draw) -> Examples:
    """Tokens to remember with blanks in between; after a copy token they are asked in order.

    `length - 2 * tokens_to_copy - 1` blanks (the vocabulary's last token but one) are each put in
    front of one of the tokens, drawn evenly: there is none between the last token and the copy
    token (the vocabulary's last). As many blanks as tokens follow that, and the i-th of them asks
    for the i-th token. T = length.
    """
    inputs = np.empty((draw.n_examples, setting.length), dtype=np.int64)
    targets = np.empty_like(inputs)
    for block in _blocks(setting, draw):
        _fill_copies(setting, draw.rng, inputs[block], targets[block])
    return inputs, targets


def _fill_copies(
    setting: Setting, rng: np.random.Generator, inputs: np.ndarray, targets: np.ndarray
) -> None:
    n, n_copies = len(inputs), setting.tokens_to_copy
    blank, copy = setting.vocabulary - 2, setting.vocabulary - 1
    n_blanks = setting.length - 2 * n_copies - 1
    tokens = rng.integers(blank, size=(n, n_copies))
    places = rng.integers(n_copies, size=(n, n_blanks), dtype=np.uint16)  # drawing takes longest
    places = places + n_copies * np.arange(n)[:, None]
    blanks_before = np.bincount(places.ravel(), minlength=n * n_copies).reshape(n, n_copies)
    inputs[:] = blank
    positions = np.arange(n_copies) + np.cumsum(blanks_before, 1)
    np.put_along_axis(inputs, positions, tokens, 1)
    inputs[:, n_copies + n_blanks] = copy
    targets[:] = IGNORED
    targets[:, -n_copies:] = tokens


def compression(setting: Setting, draw: Draw) -> Examples:
    """Tokens drawn evenly, then a compression token (the last); all of them are asked. T = length.

    The targets are the inputs, each at its own position, and every one is to be decoded from the
    last position's hidden state: see `manticore.hybrid.reconstruction`.
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

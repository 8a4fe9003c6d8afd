"""Fuzzy in-context recall: in-context recall with keys and values of several tokens."""

from typing import Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from manticore.tasks import motifs
from manticore.tasks.counting import beyond_chance, look_back
from manticore.tasks.drawing import Arrays, Draw, in_blocks, next_token_examples
from manticore.tasks.limits import require_vocabulary
from manticore.tasks.recall import RecallSetting
from manticore.tasks.sizes import QUICK, RECALL_AXES, VOCABULARIES
from manticore.tasks.task import Task

LARGEST = 1 << 63
"""Keys are numbered in int64, times the pairs of an example."""


class FuzzyInContextRecall(RecallSetting, frozen=True):
    """Setting of fuzzy in-context recall."""

    vocabulary: PositiveInt = 16
    length: PositiveInt = 128
    longest_key: int = Field(3, ge=1, le=4)
    """Largest number of tokens in a key."""
    longest_value: int = Field(3, ge=1, le=4)
    """Largest number of tokens in a value."""

    @model_validator(mode="after")
    def _can_be_generated(self) -> Self:
        """Both halves of the vocabulary hold the longest motif, and the probed pair always fits."""
        special = 1 if self.multi_query else 2
        require_vocabulary(
            self,
            special + max(2 * self.longest_key, 2 * self.longest_value - 1),
            f"a key of {self.longest_key} and a value of {self.longest_value} different tokens, "
            f"one from each half, and {special} special; or shorten longest_key or longest_value",
        )
        n_keys = (self.vocabulary - special) // 2
        if (n_keys + 1) ** self.longest_key * self.length >= LARGEST:
            raise ValueError(
                f"vocabulary={self.vocabulary} has more keys of {self.longest_key} tokens than "
                "can be numbered: give a smaller vocabulary, or shorten longest_key."
            )
        longest = self.longest_key + self.longest_value
        if self.length < 3 * longest:
            raise ValueError(
                f"length={self.length} is too short for {self.task} with pairs of up to {longest} "
                f"tokens: give {3 * longest} or more, or shorten longest_key or longest_value."
            )
        return self


@in_blocks
def _generate(setting: FuzzyInContextRecall, draw: Draw) -> Arrays:
    """In-context recall whose keys and values are of several tokens.

    A key has 1 to `longest_key` different tokens of the first half of the vocabulary, always
    `longest_key` in testing; a value has 1 to `longest_value` different tokens of the second half.
    The pair that the end probes is drawn first. Pairs follow each other (a length drawn uniformly,
    then tokens) until the next one might not fit; the probed pair is inserted at the first boundary
    at or after a position drawn uniformly, unless its key came up by chance. Padding (the last
    token; the last but one in single query, where the last token announces the probe) fills the
    front, never the end. T = length.

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

    answer = [v[:, :1] + n_keys + setting.vocabulary for v in values]  # marked as scored
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
    scored = sequence >= setting.vocabulary
    return next_token_examples(sequence - setting.vocabulary * scored, scored, draw.training)


def _tokens(setting: FuzzyInContextRecall) -> list[tuple[str, int]]:
    special = [("padding", 1), *([] if setting.multi_query else [("probe", 1)])]
    n_tokens = setting.vocabulary - len(special)
    return [("key", n_tokens // 2), ("value", n_tokens - n_tokens // 2), *special]


def recalled_by_two(ids: np.ndarray, vocabulary: int) -> float:
    """Share of tokens that equal what followed the same two tokens at their last place."""
    return look_back(ids[:, 1:], ids[:, :-2] * vocabulary + ids[:, 1:-1])


TASK = Task(
    setting=FuzzyInContextRecall,
    generate=_generate,
    axes={"vocabulary": VOCABULARIES} | RECALL_AXES,
    quick=QUICK | {"length": 48, "longest_key": 2, "longest_value": 2},
    example={"vocabulary": 9, "length": 20, "longest_key": 2, "longest_value": 2},
    tokens=_tokens,
    paper={"vocabulary": 128, "train_examples": 800},
    weight_in_text=beyond_chance(recalled_by_two),
)

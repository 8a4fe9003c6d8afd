"""Key-value pairs in a row: what in-context recall has in common with its noisy kind."""

import numpy as np

from manticore.config.setting import Setting
from manticore.tasks import motifs
from manticore.tasks.drawing import Arrays, Draw, next_token_examples
from manticore.tasks.limits import require_even_length, require_vocabulary


class RecallSetting(Setting, frozen=True):
    """Setting of a recall task."""

    multi_query: bool = True
    """Score every value whose key came before, not only the last one. In-context recall then has
    one input less than its length, as the last token is only a target."""


def check_recall(setting: RecallSetting, noise_vocabulary: int = 0) -> None:
    """Check that pairs fill an even length, and that the vocabulary holds a key and a value.

    Args:
        setting: Setting of the task.
        noise_vocabulary: How many of the vocabulary's tokens are only noise.

    Raises:
        ValueError: They do not.
    """
    require_even_length(setting, least=4)
    special = 0 if setting.multi_query else 1
    content = "a key, a value"
    if special:
        content += " and the token that announces the probe"
    if noise_vocabulary:
        content += (
            f", in addition to noise_vocabulary={noise_vocabulary}; or choose a smaller "
            "noise_vocabulary"
        )
    require_vocabulary(setting, noise_vocabulary + special + 2, content)


def recall_tokens(setting: RecallSetting, noise_vocabulary: int = 0) -> list[tuple[str, int]]:
    """The kinds of tokens of a recall task, and how many there are of each.

    Args:
        setting: Setting of the task.
        noise_vocabulary: How many of the vocabulary's tokens are only noise.
    """
    special = [] if setting.multi_query else [("probe", 1)]
    n_tokens = setting.vocabulary - noise_vocabulary - len(special)
    n_keys = n_tokens // 2
    kinds = [("key", n_keys), ("value", n_tokens - n_keys), ("noise", noise_vocabulary)]
    return [*kinds, *special]


def recall_examples(
    setting: RecallSetting, draw: Draw, noise_vocabulary: int = 0, noise_share: float = 0.0
) -> Arrays:
    """Key-value pairs in a row; where a key comes again, its value is the target.

    The first half of the vocabulary are keys, the second half values. Each example has its own map
    from keys to values, drawn independently (two keys may share a value); keys are drawn
    independently too. The last pair probes a key, drawn uniformly from those that came before.
    Multi-query: every value whose key came before is scored, T = length - 1. Single query: only the
    last value is scored, and the vocabulary's last token announces its key, T = length.

    With noise, a pair is two tokens of the noise vocabulary (after the values) with probability
    `noise_share`, except for one pair of each example, drawn uniformly from all that precede the
    probe. Departure: as published that pair may also be the probe itself, so that an example could
    be noise alone, and generating it fails.

    Args:
        setting: Setting of the task.
        draw: The data set.
        noise_vocabulary: How many of the vocabulary's tokens are only noise.
        noise_share: Probability that a pair is noise.
    """
    rng, n, n_pairs = draw.rng, draw.n_examples, setting.length // 2 - 1
    (_, n_keys), (_, n_values), *_ = recall_tokens(setting, noise_vocabulary)
    n_tokens = n_keys + n_values

    keys = rng.integers(n_keys, size=(n, n_pairs))
    value_of = rng.integers(n_keys, n_tokens, size=(n, n_keys))
    pairs = np.stack([keys, np.take_along_axis(value_of, keys, 1)], axis=2)  # (N, pairs, 2)
    noise = np.zeros((n, n_pairs), dtype=bool)
    if noise_share:
        noise = rng.random((n, n_pairs)) < noise_share
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

    scored = np.zeros(sequence.shape, dtype=bool)
    scored[:, -1] = True
    if setting.multi_query:
        scored[:, 1 : 2 * n_pairs : 2] = repeated
    return next_token_examples(sequence, scored, draw.training)

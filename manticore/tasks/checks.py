"""What a task asks of its setting. Each check raises ValueError: the value, limit and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manticore.tasks.settings import Setting

LARGEST = 1 << 63
"""Keys are numbered in int64, times the pairs of an example."""


def check_recall(setting: Setting) -> None:
    """Pairs fill an even length, and the vocabulary holds a key and a value beside the noise."""
    _require_even_length(setting, least=4)
    noise = setting.noise_vocabulary or 0
    special = 0 if setting.multi_query else 1
    _require_vocabulary(setting, least=noise + special + 2, why=_recall_needs(noise, special))
    if setting.noise_share and not noise:
        raise ValueError(
            f"noise_share={setting.noise_share} needs noise tokens: set noise_vocabulary to 1 or "
            f"more, or noise_share to 0."
        )


def check_fuzzy_recall(setting: Setting) -> None:
    """Both halves of the vocabulary hold the longest motif, and the probed pair always fits."""
    special = 1 if setting.multi_query else 2
    least = special + max(2 * setting.longest_key, 2 * setting.longest_value - 1)
    _require_vocabulary(
        setting,
        least,
        f"a key of {setting.longest_key} and a value of {setting.longest_value} unlike tokens, one "
        f"from each half, and {special} special; or shorten longest_key or longest_value",
    )
    n_keys = (setting.vocabulary - special) // 2
    if (n_keys + 1) ** setting.longest_key * setting.length >= LARGEST:
        raise ValueError(
            f"vocabulary={setting.vocabulary} has more keys of {setting.longest_key} tokens than "
            "can be numbered: give a smaller vocabulary, or shorten longest_key."
        )
    longest = setting.longest_key + setting.longest_value
    if setting.length < 3 * longest:
        raise ValueError(
            f"length={setting.length} is too short for {setting.task} with pairs of up to "
            f"{longest} tokens: give {3 * longest} or more, or shorten longest_key or "
            "longest_value."
        )


def check_selective_copying(setting: Setting) -> None:
    """Tokens, their copies, the copy token and a blank fit."""
    _require_vocabulary(setting, 3, "a token to copy, the blank and the copy token")
    least, most = 2 * setting.tokens_to_copy + 2, (setting.length - 2) // 2
    if setting.length < least:
        fewer = f"copy at most {most}, or " if most > 0 else ""
        raise ValueError(
            f"tokens_to_copy={setting.tokens_to_copy} of {setting.task} does not fit in "
            f"length={setting.length}: {fewer}give a length of {least} or more."
        )


def check_compression(setting: Setting) -> None:
    """There is something to compress."""
    _require_vocabulary(setting, 3, "two tokens to tell apart and the compression token")
    if setting.length < 2:
        raise ValueError(f"length={setting.length} holds no token for compression: give 2 or more.")


def check_memorization(setting: Setting) -> None:
    """Every key has its insert token, and there is one key and one value."""
    _require_even_length(setting, least=2)
    _require_vocabulary(setting, 3, "a key, a value and the insert token")


def _recall_needs(noise: int, special: int) -> str:
    announced = " and the token that announces the probe" if special else ""
    if not noise:
        return f"a key, a value{announced}"
    return (
        f"a key, a value{announced} beside noise_vocabulary={noise}; or a smaller noise_vocabulary"
    )


def _require_even_length(setting: Setting, least: int) -> None:
    if setting.length % 2 or setting.length < least:
        even = max(setting.length + setting.length % 2, least)
        wrong = "does not divide into pairs of tokens" if setting.length % 2 else "is too short"
        raise ValueError(
            f"length={setting.length} {wrong}: {setting.task} takes even lengths from {least} on, "
            f"such as {even}."
        )


def _require_vocabulary(setting: Setting, least: int, why: str) -> None:
    if setting.vocabulary < least:
        raise ValueError(
            f"vocabulary={setting.vocabulary} is too small for {setting.task}: give {least} or "
            f"more, for {why}."
        )

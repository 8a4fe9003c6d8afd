"""Limits that several tasks have in common. Each check raises ValueError with a remedy."""

from manticore.config.setting import Setting


def require_even_length(setting: Setting, least: int) -> None:
    """Check that the length divides into pairs of tokens, and is at least `least`."""
    if setting.length % 2 or setting.length < least:
        even = max(setting.length + setting.length % 2, least)
        wrong = "does not divide into pairs of tokens" if setting.length % 2 else "is too short"
        raise ValueError(
            f"length={setting.length} {wrong}: {setting.task} takes even lengths of at least "
            f"{least}, such as {even}."
        )


def require_vocabulary(setting: Setting, least: int, content: str) -> None:
    """Check that the vocabulary has at least `least` tokens.

    Args:
        setting: Setting of the task.
        least: Smallest number of tokens.
        content: What these tokens are, for the message.
    """
    if setting.vocabulary < least:
        raise ValueError(
            f"vocabulary={setting.vocabulary} is too small for {setting.task}: give {least} or "
            f"more, for {content}."
        )

"""The floor of the loss on generated stories: their entropy per token."""

from __future__ import annotations

import json
import logging
import os
import uuid
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from manticore.data.cache import digest
from manticore.data.packing import separator_ids
from manticore.data.token_ids import token_ids, tokenizer_fingerprint
from manticore.stories.entropy import SAMPLE, Entropy, entropy_per_unit, entropy_stories

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_BEGINNING = 20
"""Stories that stand for the grammar, and on which the tokenizer is tried."""


def floor_of_stories(
    language: str, tokenizer: PreTrainedTokenizerBase, root: Path
) -> Entropy | None:
    """The entropy per token, kept on the disk; None if the tokenizer does not restore the text.

    Args:
        language: Language of the stories.
        tokenizer: Tokenizer with an end-of-text token.
        root: Folder of the cache.
    """
    first = entropy_stories(language, n=_BEGINNING)
    for story, ids in zip(first, token_ids([s.text for s in first], tokenizer), strict=True):
        if tokenizer.decode(ids, clean_up_tokenization_spaces=False) != story.text:
            return None
    grammar = [[story.text, story.nats] for story in first]
    key = digest([language, SAMPLE, grammar, tokenizer_fingerprint(tokenizer)])
    path = root / "floors" / f"{key}.json"
    try:
        return Entropy(**json.loads(path.read_text()))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s is damaged (%s) and written again.", path, error)
    floor = entropy_per_token(language, tokenizer, n=SAMPLE)
    temporary = path.with_name(f".{key}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    with suppress(OSError):  # it is only measured again
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(floor)))
        temporary.replace(path)
    with suppress(OSError):
        temporary.unlink(missing_ok=True)
    return floor


def entropy_per_token(
    language: str, tokenizer: PreTrainedTokenizerBase, *, n: int = SAMPLE, seed: int = 0
) -> Entropy:
    """Entropy rate of stories in nats per token, end-of-text (and BOS where used) included.

    This is the floor of the mean cross-entropy, E[nats of a story] / E[tokens of a story], as
    tokens are a function of the text. A model that sees windows, and so lacks what came before,
    stays above it. For a tokenizer that does not restore the text (lower-casing, unknown tokens) it
    is an upper bound of the entropy of the tokens and not a floor.

    Args:
        language: Language of the stories (see `generate_stories`).
        tokenizer: Tokenizer with an end-of-text token.
        n: Number of stories to measure on.
        seed: Random seed of these stories.

    Raises:
        ValueError: Unknown language, or n < 2.
    """
    stories = entropy_stories(language, n=n, seed=seed)
    around = len(separator_ids(tokenizer))
    lengths = [len(ids) + around for ids in token_ids([s.text for s in stories], tokenizer)]
    return entropy_per_unit(stories, lengths, "nats per token")

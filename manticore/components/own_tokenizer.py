"""The tokenizer that a component comes with: reading it, and fitting it to the model's rows."""

import copy
import json
import logging
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.import_utils import is_protobuf_available, is_sentencepiece_available

from manticore.components.places import ComponentError, Place
from manticore.components.tokenizers import special_ids
from manticore.data.token_ids import token_ids, vocabulary_size

_SAVE_IT = (
    "A component needs the tokenizer that it was trained with: tokenizer.save_pretrained(folder) "
    "writes it next to the model."
)
# Files that Transformers has to convert, and what it needs for that.
_SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_CONVERTED = "tokenizer.json"

logger = logging.getLogger(__name__)


def load_tokenizer(source: str, place: Place, where: dict[str, Any]) -> PreTrainedTokenizerBase:
    """The tokenizer of a component.

    Args:
        source: What was asked for, for errors.
        place: Where its files are.
        where: Other options of `from_pretrained`.

    Raises:
        ComponentError: There is none, or it cannot be read; the message says what to do.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(place.root, **where)
    except Exception as error:  # Half a tokenizer, too, can make Transformers raise anything.
        if wants_trust(error):
            raise
        raise ComponentError(_explain(source, place, error)) from error
    # Transformers makes up an empty tokenizer for some families when there are no files.
    if set(tokenizer.get_vocab().values()) <= special_ids(tokenizer):
        raise ComponentError(f"'{source}' comes without a tokenizer. {_SAVE_IT}")
    return tokenizer


def wants_trust(error: Exception) -> bool:
    """Whether Transformers refused to run code that a repository brings along."""
    return "trust_remote_code" in str(error)


def _explain(source: str, place: Place, error: Exception) -> str:
    """Why a tokenizer cannot be read, and what to do."""
    failed = f"The tokenizer of '{source}' could not be loaded: {error}\n"
    folder = Path(place.root)
    alone = [name for name in _SENTENCEPIECE if (folder / name).is_file()]
    if alone and not (folder / _CONVERTED).is_file():
        needed = {"sentencepiece": is_sentencepiece_available, "protobuf": is_protobuf_available}
        missing = [package for package, is_available in needed.items() if not is_available()]
        if not missing:
            return f"{failed}It is a SentencePiece model alone: check that it is whole."
        # Transformers names another package here, which would not help.
        return (
            f"The tokenizer of '{source}' is a SentencePiece model alone ({', '.join(alone)}), "
            "which must be converted, and what that takes is not installed. Install it and load "
            f"again: pip install {' '.join(missing)}"
        )
    if isinstance(error, ImportError) or "pip install" in str(error):
        return f"{failed}Install what this names, and load the component again."
    return failed + _SAVE_IT


def fit_tokenizer(
    tokenizer: PreTrainedTokenizerBase, rows: int, source: str
) -> PreTrainedTokenizerBase:
    """The tokenizer without tokens that the model has no embedding for.

    Published tokenizers list tokens that no text contains, such as those that stand for an image or
    for padding, and the model was never given rows for them. Without these tokens, a text that
    spells one out is read as plain text.

    Args:
        tokenizer: The component's own; it stays as it is.
        rows: Number of tokens that the model has embeddings for.
        source: Name of the component, for errors.

    Returns:
        The same tokenizer where all of its tokens have a row, otherwise a copy.

    Raises:
        ComponentError: Tokens of ordinary text have no row: the tokenizer is another model's.
    """
    needed = vocabulary_size(tokenizer)
    if needed <= rows:
        return tokenizer
    beyond = {token: index for token, index in tokenizer.get_vocab().items() if index >= rows}
    mismatch = ComponentError(
        f"'{source}' has {rows} embeddings, fewer than the {needed} entries of its own tokenizer: "
        "the tokenizer does not match the model. Give the tokenizer that it was trained with. If "
        "this is that tokenizer, add the missing rows and save the model again: "
        f"model.resize_token_embeddings({needed})."
    )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not set(beyond.values()) <= set(tokenizer.added_tokens_decoder):
        raise mismatch
    fitted = copy.deepcopy(tokenizer)
    # The backend of a fast tokenizer has no public setter.
    fitted._tokenizer = _without(backend, beyond)  # pyright: ignore[reportAttributeAccessIssue]
    _forget_roles(fitted, set(beyond))
    if vocabulary_size(fitted) > rows or _writes_beyond(fitted, rows):
        raise mismatch
    logger.warning(
        "the tokenizer of '%s' lists tokens without an embedding, which are left out: %s",
        source,
        ", ".join(sorted(beyond)),
    )
    return fitted


def _without(backend: Tokenizer, beyond: dict[str, int]) -> Tokenizer:
    """A tokenizer that lacks some tokens."""
    state = json.loads(backend.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] not in beyond]
    model = state["model"]
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        model["vocab"] = {t: index for t, index in vocabulary.items() if t not in beyond}
    elif isinstance(vocabulary, list):  # (token, score), in the order of ids.
        model["vocab"] = vocabulary[: min(beyond.values())]
    return Tokenizer.from_str(json.dumps(state))


def _forget_roles(tokenizer: PreTrainedTokenizerBase, beyond: set[str]) -> None:
    """Take the tokens out of all that a tokenizer is saved with."""
    for role, token in tokenizer.special_tokens_map.items():
        if isinstance(token, str) and token in beyond:
            setattr(tokenizer, role, None)
    tokenizer._extra_special_tokens = [
        token for token in tokenizer._extra_special_tokens if str(token) not in beyond
    ]
    kept = tokenizer.init_kwargs
    for name in ("added_tokens_decoder", "extra_special_tokens", "additional_special_tokens"):
        if isinstance(kept.get(name), dict):
            kept[name] = {k: t for k, t in kept[name].items() if not {str(k), str(t)} & beyond}
        elif kept.get(name):
            kept[name] = [token for token in kept[name] if str(token) not in beyond]
    for name, value in list(kept.items()):
        if isinstance(value, str) and value in beyond:
            del kept[name]


def _writes_beyond(tokenizer: PreTrainedTokenizerBase, rows: int) -> bool:
    """Whether the tokenizer itself puts a token without a row around a text."""
    return any(index >= rows for index in token_ids(["a"], tokenizer, special=True)[0])

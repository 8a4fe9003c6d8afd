"""Looking at a component without loading its weights: is it one, and of what size?

The model is built on the meta device, where weights have shapes and no values: its parameters are
counted exactly, and the parts of its family are found as they are found when it is loaded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import metadata_load
from transformers import (
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from manticore.components.admission import input_rows
from manticore.components.building import one_at_a_time
from manticore.components.facts import Facts
from manticore.components.inspection import family_spec
from manticore.components.loading import explain_failure, read_config
from manticore.components.own_tokenizer import fit_tokenizer, load_tokenizer
from manticore.components.places import ComponentError, Place, check_gguf, locate
from manticore.components.runner import BlockRunner
from manticore.components.scratch import Scratch, is_scratch, make_scratch
from manticore.components.spec import FamilySpec

_LONGEST_CARD = 500_000
_CONTEXTS = ("max_position_embeddings", "max_target_positions", "max_sequence_length")


@dataclass(frozen=True)
class Examined:
    """What there is to know of a component before its weights are loaded.

    Attributes:
        facts: Its family, shape and size.
        tokenizer: Its own tokenizer; None where its files are not on this machine.
    """

    facts: Facts
    tokenizer: PreTrainedTokenizerBase | None


def examine(source: str, folder: Path | None = None) -> Examined:
    """Look at a component without loading its weights.

    Args:
        source: A folder, a GGUF file, `zoo:NAME`, `scratch:FAMILY`, or a hub id whose files are in
            `folder`.
        folder: Files of a hub repository on this machine: its `config.json`, and maybe more.

    Raises:
        ComponentError: It is not a component that can be loaded; the message says why, and what to
            do.
    """
    if is_scratch(source):
        return _untrained(source)
    place = locate(source) if folder is None else Place(str(folder))
    where: dict[str, Any] = {"trust_remote_code": False}
    if place.gguf_file:
        check_gguf(source)
        where["gguf_file"] = place.gguf_file
    family = None
    try:
        config = read_config(source, place, where)
        family = config.model_type
        model = _without_weights(config)
        facts = facts_of(model, family_spec(model), _languages(Path(place.root)))
        tokenizer = _tokenizer(source, place, where, model, needed=folder is None)
    except ComponentError:
        raise
    except Exception as error:  # A strange configuration can make Transformers raise anything.
        raise ComponentError(explain_failure(source, place, family, error)) from error
    return Examined(facts, tokenizer)


def _untrained(source: str) -> Examined:
    try:
        with torch.device("meta"):
            model, tokenizer = make_scratch(Scratch.parse(source))
    except ValueError as error:
        raise ComponentError(f"'{source}' is not available. {error}") from error
    return Examined(facts_of(model, family_spec(model), ()), tokenizer)


@one_at_a_time
def _without_weights(config: PreTrainedConfig) -> PreTrainedModel:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def facts_of(model: PreTrainedModel, spec: FamilySpec, languages: tuple[str, ...] = ()) -> Facts:
    """Family, shape and size of a model.

    Args:
        model: The model; its weights may be on the meta device.
        spec: Where the parts of its family are.
        languages: Codes of the languages that its model card names.
    """
    config: Any = model.config.get_text_config(decoder=True)
    limits = (spec.length_limit, *_CONTEXTS)
    found = (getattr(config, name, None) for name in limits if name)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    # Weights are tied by name before they are tied in memory, which on the meta device they need
    # not be.
    tied = bool(model.all_tied_weights_keys) or head.weight is embedding.weight  # pyright: ignore[reportOptionalMemberAccess]
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return Facts(
        config.model_type,
        sum(size for name, size in sizes.items() if name not in model.all_tied_weights_keys),
        BlockRunner(model, spec).depth,
        config.hidden_size,
        input_rows(model),
        tied,
        next((length for length in found if isinstance(length, int)), None),
        languages,
    )


def _tokenizer(
    source: str, place: Place, where: dict[str, Any], model: PreTrainedModel, needed: bool
) -> PreTrainedTokenizerBase | None:
    """The tokenizer as the component will have it; None where it is missing and not needed yet."""
    try:
        return fit_tokenizer(load_tokenizer(source, place, where), input_rows(model), source)
    except ComponentError:
        if needed:
            raise
        return None


def _languages(folder: Path) -> tuple[str, ...]:
    """Codes of the languages that the model card of a folder names; none if it has no card."""
    card = folder / "README.md"
    try:
        if card.stat().st_size > _LONGEST_CARD:
            return ()
        named = (metadata_load(card) or {}).get("language") or ()
    except Exception:  # Whatever a stranger's YAML makes a parser raise: it is only a card.
        return ()
    listed = [named] if isinstance(named, str) else named
    return tuple(str(code)[:20] for code in listed) if isinstance(listed, list) else ()

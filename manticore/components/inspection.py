"""Families without an entry: find the parts of the backbone by looking at the model."""

import inspect
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from manticore.components.families import FAMILIES, UnknownFamilyError
from manticore.components.spec import FamilySpec
from manticore.components.verification import verify

_LENGTHS = ("max_position_embeddings", "max_target_positions", "max_sequence_length")


def family_spec(model: PreTrainedModel) -> FamilySpec:
    """The spec of the model's family: its entry, or else what inspection finds.

    What inspection finds is verified on the model, unless the model is on the meta device and
    nothing can be run.

    Raises:
        UnknownFamilyError: The family has no entry, and its parts were not found or, run apart, do
            not give what the whole model gives.
    """
    model_type = _text_config(model).model_type
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    spec = _inspect(model)
    if model.device.type != "meta":
        verify(model, spec)
    return spec


def _text_config(model: PreTrainedModel) -> Any:
    return model.config.get_text_config(decoder=True)


def _inspect(model: PreTrainedModel) -> FamilySpec:
    """A guess from the names and kinds of the model's modules.

    It must not depend on weights or on what a pass gives: a saved hybrid is inspected on the meta
    device.
    """
    model_type = _text_config(model).model_type
    path, layers = _layer_list(model)
    backbone = model.get_submodule(path)
    children = dict(backbone.named_children())
    tokens = model.get_input_embeddings()
    if not any(module is tokens for module in backbone.modules()):
        raise UnknownFamilyError(
            model_type, f"'{path}' owns the layers, but the tokens are embedded outside of it"
        )
    if model.get_output_embeddings() is None:
        raise UnknownFamilyError(model_type, "the model has no head (get_output_embeddings)")
    names = list(children)
    before, after = (
        [name for name in part if _is_norm(children[name])]
        for part in (names[: names.index(layers)], names[names.index(layers) + 1 :])
    )
    positions = [
        name for name, child in children.items() if child is not tokens and _is_positions(child)
    ]
    dropouts = [
        name for name in names[: names.index(layers)] if isinstance(children[name], nn.Dropout)
    ]
    length_limit = None
    if positions and isinstance(children[positions[0]], nn.Embedding):
        length_limit = _length_limit(model)
    arguments = inspect.signature(backbone.forward).parameters
    cache_argument = "cache_params" if "cache_params" in arguments else "past_key_values"
    if cache_argument not in arguments:
        raise UnknownFamilyError(model_type, f"the forward pass of '{path}' takes no cache")
    takes_positions = "position_ids" in arguments
    if positions and not takes_positions:
        raise UnknownFamilyError(
            model_type,
            "it adds position embeddings but takes no position_ids, so positions cannot be told "
            "after padding or in the middle of a text",
        )
    return FamilySpec(
        model_type,
        backbone=path,
        layers=layers,
        norm=after[0] if after else None,
        positions=positions[0] if positions else None,
        input_modules=(*before, *dropouts),
        cache_argument=cache_argument,
        takes_positions=takes_positions,
        recurrent_mask=cache_argument == "cache_params",
        length_limit=length_limit,
    )


def _layer_list(model: PreTrainedModel) -> tuple[str, str]:
    """(path of the backbone, name of its layer list)."""
    config = _text_config(model)
    depth = getattr(config, "num_hidden_layers", None)
    found = [
        (path, name)
        for path, module in model.named_modules()
        for name, child in module.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == depth
    ]
    tokens = model.get_input_embeddings()
    embedding = [
        (path, name)
        for path, name in found
        if any(child is tokens for child in model.get_submodule(path).children())
    ]
    if len(embedding) == 1:
        found = embedding
    if len(found) != 1:
        lists = ", ".join(f"{path}.{name}" for path, name in found)
        which = f"several layer lists ({lists})" if found else "no layer list"
        raise UnknownFamilyError(
            config.model_type, f"it has {which} of num_hidden_layers={depth} modules"
        )
    path, name = found[0]
    if not path:
        raise UnknownFamilyError(
            config.model_type, "the layer list belongs to the causal language model itself"
        )
    return path, name


def _length_limit(model: PreTrainedModel) -> str:
    """The entry of the configuration that says how many positions were learned."""
    config = _text_config(model)
    found = next((name for name in _LENGTHS if getattr(config, name, None) is not None), None)
    if found is None:
        raise UnknownFamilyError(
            config.model_type,
            "it has learned positions, and its configuration does not say how many "
            f"({', '.join(_LENGTHS)})",
        )
    return found


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


def _is_positions(module: nn.Module) -> bool:
    """Embeddings to be added to the input; rotary tables, which are not, have other names."""
    return isinstance(module, nn.Embedding) or "PositionalEmbedding" in type(module).__name__

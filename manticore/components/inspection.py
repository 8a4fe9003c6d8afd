"""Families without an entry: find the parts of the backbone by looking at the model."""

import inspect

import torch
from torch import nn
from transformers import PreTrainedModel

from manticore.components.families import FAMILIES
from manticore.components.runner import BlockRunner
from manticore.components.spec import FamilySpec

_HOW_TO_ADD = (
    "To add it, write one FamilySpec entry in manticore/components/families.py that says where "
    "its layers, final norm and position embeddings are."
)


class UnknownFamilyError(ValueError):
    """A family without an entry whose backbone does not have the usual shape."""

    def __init__(self, model_type: str, missing: str) -> None:
        super().__init__(
            f"The family '{model_type}' has no entry in Manticore, and looking at the model did "
            f"not help: {missing}. {_HOW_TO_ADD} Known families: {', '.join(sorted(FAMILIES))}."
        )


def family_spec(model: PreTrainedModel) -> FamilySpec:
    """The spec of the model's family: its entry, or else what inspection finds.

    Raises:
        UnknownFamilyError: No entry, and something could not be found or does not add up.
    """
    model_type = model.config.model_type
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    spec = _inspect(model)
    if model.device.type != "meta":
        _check(model, spec)
    return spec


def _inspect(model: PreTrainedModel) -> FamilySpec:
    model_type = model.config.model_type
    depth = getattr(model.config, "num_hidden_layers", None)
    found = [
        (path, name)
        for path, module in model.named_modules()
        for name, child in module.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == depth
    ]
    if len(found) != 1:
        what = "no layer list" if not found else f"several layer lists ({found})"
        raise UnknownFamilyError(model_type, f"{what} of num_hidden_layers={depth} modules")
    path, layers = found[0]
    if not path:
        raise UnknownFamilyError(model_type, "the layer list belongs to the causal LM itself")
    backbone = model.get_submodule(path)
    after_layers = list(backbone._modules)[list(backbone._modules).index(layers) + 1 :]
    children = dict(backbone.named_children())
    norms = [n for n, child in children.items() if "norm" in type(child).__name__.lower()]
    norm = next((n for n in norms if n in after_layers), norms[-1] if norms else None)
    if norm is None:
        raise UnknownFamilyError(model_type, f"no final norm among the children of '{path}'")
    if model.get_output_embeddings() is None:
        raise UnknownFamilyError(model_type, "the model has no head (get_output_embeddings)")
    tokens = backbone.get_input_embeddings()
    positions = [n for n, c in children.items() if isinstance(c, nn.Embedding) and c is not tokens]
    dropouts = [n for n, child in children.items() if isinstance(child, nn.Dropout)]
    arguments = inspect.signature(backbone.forward).parameters
    cache_argument = "cache_params" if "cache_params" in arguments else "past_key_values"
    if cache_argument not in arguments:
        raise UnknownFamilyError(model_type, f"the forward of '{path}' takes no cache")
    return FamilySpec(
        model_type,
        backbone=path,
        layers=layers,
        norm=norm,
        positions=positions[0] if positions else None,
        input_dropout=dropouts[0] if dropouts else None,
        cache_argument=cache_argument,
        takes_positions="position_ids" in arguments,
        recurrent_mask=cache_argument == "cache_params",
    )


@torch.no_grad()
def _check(model: PreTrainedModel, spec: FamilySpec) -> None:
    """Run the parts in two slices and compare with the whole: an inspected spec is only a guess."""
    was_training = model.training
    model.eval()
    try:
        ids = torch.arange(8, device=model.device)[None] % model.config.vocab_size  # (1, 8)
        positions = torch.arange(8, device=model.device)[None]
        runner = BlockRunner(model, spec)
        hidden = runner.embed(ids, positions)
        middle = runner.depth // 2
        for start, stop in ((0, middle), (middle, runner.depth)):
            hidden = runner.run(
                start, stop, hidden, attention_mask=None, position_ids=positions, cache=None
            )
        parts, whole = runner.head(hidden), model(ids).logits
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise UnknownFamilyError(
            spec.model_type, f"its parts could not be run apart ({error})"
        ) from error
    finally:
        model.train(was_training)
    if not torch.allclose(parts, whole, rtol=1e-3, atol=1e-3):
        raise UnknownFamilyError(
            spec.model_type,
            "its parts, run apart, do not give the logits of the whole "
            f"(largest difference {(parts - whole).abs().max():.3g}); "
            "the backbone probably scales its input or adds something to it",
        )

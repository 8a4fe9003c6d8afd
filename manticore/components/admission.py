"""What a loaded checkpoint must be: a causal language model, complete, with its own tokenizer."""

from typing import Any, cast

import torch
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel

from manticore.components.families import FAMILIES
from manticore.components.places import ComponentError


def check_kind(source: str, config: PreTrainedConfig) -> None:
    """Refuse what is not a causal language model before its weights are read.

    Raises:
        ComponentError: It has an encoder, is a hybrid, or Transformers has no such model.
    """
    kind = config.model_type
    if kind == "manticore":
        raise ComponentError(
            f"'{source}' is a hybrid itself: give its components instead, or load it with "
            "ManticoreForCausalLM.from_pretrained."
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ComponentError(not_causal(source, kind, "the family has an encoder and a decoder"))
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and not hasattr(config, "auto_map"):
        why = "Transformers has no causal language model of this family"
        raise ComponentError(not_causal(source, kind, why))


def not_causal(source: str, family: str, why: str) -> str:
    """What to say of a model of another kind."""
    return (
        f"'{source}', of the family '{family}', is not a causal language model: {why}. Choose a "
        "model that continues text, such as one of the families "
        f"{', '.join(sorted(FAMILIES))}."
    )


@torch.no_grad()
def check_causal(source: str, model: PreTrainedModel) -> None:
    """Refuse an encoder of a family that Manticore does not know: look whether it sees ahead.

    Raises:
        ComponentError: What it says of one token depends on the tokens that follow.
    """
    family = model.config.model_type
    if family in FAMILIES:
        return
    ids = torch.tensor([[2, 3, 4, 5], [2, 3, 4, 6]], device=model.device)  # (2, 4)
    vocabulary = input_rows(model)
    first, second = model(ids % vocabulary, use_cache=False).logits[:, :-1].float()
    if (first - second).abs().max() > 1e-3 * first.std():
        why = "what it says of one token depends on the tokens that follow"
        raise ComponentError(not_causal(source, family, why))


def check_weights(source: str, report: dict[str, Any]) -> None:
    """Refuse a checkpoint that lacks tensors or has other shapes than its configuration says.

    Args:
        source: What was asked for.
        report: What `from_pretrained` says of the keys it found.

    Raises:
        ComponentError: It does.
    """
    wrong = []
    if report["missing_keys"]:
        wrong.append(f"lacks {_some(report['missing_keys'])}")
    if report["mismatched_keys"]:
        found = (
            f"{name} {tuple(has)}, not {tuple(wants)}"
            for name, has, wants in report["mismatched_keys"]
        )
        wrong.append(f"has other shapes than its config.json says ({_some(found)})")
    if wrong:
        raise ComponentError(
            f"The checkpoint of '{source}' {' and '.join(wrong)}: it was saved from another model "
            "or cut short. Save it again with save_pretrained."
        )


def input_rows(model: PreTrainedModel) -> int:
    """Number of tokens that the model has an embedding for."""
    return cast("nn.Embedding", model.get_input_embeddings()).weight.shape[0]


def _some(keys: Any) -> str:
    names = sorted(str(key) for key in keys)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""Swap a loaded model's state-space mixers for ours, in place.

The classes change and nothing else: parameters, buffers, hooks and the state dict stay as they are,
so a checkpoint saved afterwards loads into the untouched Transformers model.
"""

from typing import cast

from torch import nn
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaMixer
from transformers.models.jamba.modeling_jamba import JambaMambaMixer
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import (
    RecurrentGemmaRecurrentBlock,
    RecurrentGemmaRglru,
)

from manticore.components.mixers.mamba import (
    FastFalconMambaMixer,
    FastJambaMixer,
    FastMambaMixer,
)
from manticore.components.mixers.mamba2 import FastMamba2Mixer
from manticore.components.mixers.recurrent_gemma import (
    FastRecurrentGemmaBlock,
    FastRecurrentGemmaRglru,
)

_FAST_CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    MambaMixer: FastMambaMixer,
    FalconMambaMixer: FastFalconMambaMixer,
    JambaMambaMixer: FastJambaMixer,
    Mamba2Mixer: FastMamba2Mixer,
    RecurrentGemmaRecurrentBlock: FastRecurrentGemmaBlock,
}


def _layer_index(name: str) -> int:
    """Index of a module's layer, from its dotted name: 3 for "model.layers.3.x"."""
    indices = [part for part in name.split(".") if part.isdigit()]
    if not indices:
        raise ValueError(
            f"The recurrent block {name or '(the model itself)'!r} is in no layer list, so its "
            "layer index is unknown: call use_fast_mixers on the whole model."
        )
    return int(indices[-1])


def _prepare_recurrent_gemma(block: FastRecurrentGemmaBlock, name: str) -> None:
    """Tell the block which cache layer is its own, and drop the states it kept in the modules."""
    if type(block.rg_lru) is not RecurrentGemmaRglru:
        raise TypeError(f"{name}.rg_lru is a {type(block.rg_lru).__name__}, not an RG-LRU.")
    block.layer_idx = _layer_index(name)
    block.rg_lru.__class__ = FastRecurrentGemmaRglru
    block.conv1d_state = block.rg_lru.recurrent_states = None


def use_fast_mixers(model: nn.Module) -> int:
    """Give every state-space mixer in `model` its fast forward pass, in place.

    These are the mixers of Mamba, Mamba-2, FalconMamba and Jamba and the recurrent blocks of
    RecurrentGemma. A second call changes nothing. Call it on the whole model, before its layers are
    cut into blocks.

    Args:
        model: Any module that holds Transformers mixers, at any depth.

    Returns:
        Number of mixers that changed class: 0 if all of them were fast already or there are none.

    Raises:
        ValueError: A RecurrentGemma block is in no layer list, so its layer index is unknown.
    """
    changed = 0
    for name, module in model.named_modules():
        fast_class = _FAST_CLASSES.get(type(module))
        if fast_class is None:
            continue
        if fast_class is FastRecurrentGemmaBlock:
            _prepare_recurrent_gemma(cast("FastRecurrentGemmaBlock", module), name)
        module.__class__ = fast_class
        changed += 1
    return changed

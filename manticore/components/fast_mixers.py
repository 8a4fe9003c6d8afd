"""Swap a loaded model's state-space mixers for ours, in place.

The classes change and nothing else: parameters, buffers, hooks and the state dict stay as they are,
so a checkpoint saved afterwards loads into the untouched Transformers model.
"""

from torch import nn
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaMixer
from transformers.models.mamba.modeling_mamba import MambaMixer

from manticore.components.mamba_mixers import FastFalconMambaMixer, FastMambaMixer

_FAST_CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    MambaMixer: FastMambaMixer,
    FalconMambaMixer: FastFalconMambaMixer,
}


def use_fast_mixers(model: nn.Module) -> int:
    """Give every Mamba and FalconMamba mixer in `model` its fast forward pass.

    Args:
        model: any module that holds Transformers mixers, at any depth.

    Returns:
        How many mixers changed class; 0 when they all were fast already, or there were none.
    """
    changed = 0
    for module in model.modules():
        fast_class = _FAST_CLASSES.get(type(module))
        if fast_class is not None:
            module.__class__ = fast_class
            changed += 1
    return changed

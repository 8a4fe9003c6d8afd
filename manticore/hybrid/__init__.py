"""The hybrid: configuration, model, projectors, mixture weights, cache, and how to build one."""

from manticore.hybrid.build import build_hybrid
from manticore.hybrid.classification import ManticoreForSequenceClassification
from manticore.hybrid.configuration import ManticoreConfig
from manticore.hybrid.lora import lora_targets
from manticore.hybrid.modeling import ManticoreForCausalLM

__all__ = [
    "ManticoreConfig",
    "ManticoreForCausalLM",
    "ManticoreForSequenceClassification",
    "build_hybrid",
    "lora_targets",
]

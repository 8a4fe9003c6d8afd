"""The modules of a hybrid that LoRA adapters are attached to.

peft has a list of default targets for each family, but not for hybrids; it silently skips names
that match nothing; and its guard against adapters that Mamba's fused kernels would bypass looks at
the model's own family, so it does not see the Mamba inside a hybrid. Hence a list of full module
names, each of which exists and acts.
"""

from typing import TYPE_CHECKING

from torch import nn
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from manticore.hybrid.body import HybridBody


def lora_targets(hybrid: "HybridBody") -> list[str]:
    """Full names of every component's linear layers on which a LoRA adapter acts.

    All linear maps inside the layers are taken, as QLoRA found best (arXiv 2305.14314, section 4);
    embeddings and heads are not. In a Mamba mixer only `in_proj` is taken: Transformers' fused CUDA
    kernels read the weights of its other projections without calling the module, so where a mixer
    is not ours, an adapter there would act on one machine and not on another.

    For `peft.LoraConfig(target_modules=lora_targets(hybrid), task_type="CAUSAL_LM")`, or `SEQ_CLS`
    for a hybrid that classifies, with which peft trains the scores too. The
    projectors and a new head do not belong to a pretrained component; to train them together with
    the adapters, add `modules_to_save=["projectors"]`, or `["projectors", "new_norm", "new_head"]`.

    Args:
        hybrid: A hybrid without adapters.

    Raises:
        ValueError: A component has no such layer, or the hybrid has adapters already.
    """
    if any(hasattr(module, "base_layer") for module in hybrid.modules()):
        raise ValueError(
            "The hybrid has adapters already: call lora_targets before attaching any, or detach "
            "them with merge_and_unload()."
        )
    targets = []
    for k, (name, runner) in enumerate(zip(hybrid.component_names, hybrid.runners, strict=True)):
        layers = f"components.{k}.{runner.spec.backbone}.{runner.spec.layers}"
        found = [
            f"{layers}.{path}.{child}"
            for path, parent in hybrid.get_submodule(layers).named_modules()
            for child in _linear_children(parent)
        ]
        if not found:
            raise ValueError(
                f"The layers of the component '{name}' hold no linear map that LoRA could adapt: "
                "give target_modules by hand."
            )
        targets += found
    return targets


def _linear_children(parent: nn.Module) -> list[str]:
    """Names of the linear maps directly under a module that are called as modules."""
    # The decay rates of a state space mark the mixers with fused kernels.
    state_space = hasattr(parent, "A_log")
    return [
        name
        for name, child in parent.named_children()
        if type(child) in (nn.Linear, Conv1D) and (not state_space or name == "in_proj")
    ]

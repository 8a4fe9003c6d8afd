"""Training with parameters that are sharded over processes (FSDP2, `torch.distributed.fsdp`).

Every layer of every component is a group of its own; all else, tied embeddings included, is one
group that the hybrid's own forward pass gathers. The mixture stays whole on each process: it is
tiny, it is read outside of any forward pass, and every process must have the same to the last bit.
"""

import os
from typing import TYPE_CHECKING, Literal, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, disable_fsdp_ram_efficient_loading
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


def sharding_is_asked_for() -> bool:
    """Whether `accelerate launch --use_fsdp` started this process."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether each process keeps a part of the state.

    Args:
        accelerator: Accelerator of the training.
    """
    return accelerator.distributed_type == DistributedType.FSDP


def load_on_every_process() -> None:
    """Have each process load its own weights, before any model is loaded.

    Accelerate's other way leaves all but the first without the weights that are not sharded.
    """
    if sharding_is_asked_for():
        disable_fsdp_ram_efficient_loading()


def plan_sharding(accelerator: Accelerator, hybrid: "ManticoreForCausalLM") -> None:
    """Tell accelerate what to shard, before it prepares the hybrid.

    Args:
        accelerator: Accelerator of the training.
        hybrid: Hybrid to shard.

    Raises:
        ValueError: Accelerate is to use the first version of FSDP.
    """
    plugin = accelerator.state.fsdp_plugin
    if plugin is None or not accelerator.is_fsdp2:
        raise ValueError("Only FSDP2 can shard a hybrid: add --fsdp_version 2.")
    plugin.auto_wrap_policy = transformer_auto_wrap_policy
    plugin.transformer_cls_names_to_wrap = sorted(
        {
            type(layer).__name__
            for runner in hybrid.runners
            for layer in getattr(runner.backbone, runner.spec.layers)
        }
    )
    plugin.ignored_modules = [hybrid.mixture]


@torch.no_grad()
def average_gradients(accelerator: Accelerator, module: nn.Module) -> None:
    """Average the gradients of parameters that are not sharded, over all processes.

    Args:
        accelerator: Accelerator of the training.
        module: Module whose parameters are whole on each process.
    """
    for parameter in module.parameters():
        if parameter.grad is not None:
            parameter.grad.copy_(over_processes(accelerator, parameter.grad, "mean"))


def over_processes(
    accelerator: Accelerator, tensor: torch.Tensor, reduction: Literal["mean", "sum"]
) -> torch.Tensor:
    """The mean or the sum of a tensor over all processes; the same on each.

    Args:
        accelerator: Accelerator of the training.
        tensor: This process's tensor.
        reduction: `mean` or `sum`.
    """
    return cast(torch.Tensor, accelerator.reduce(tensor, reduction=reduction))


@torch.no_grad()
def clip_gradients(
    accelerator: Accelerator, parameters: list[nn.Parameter], max_norm: float
) -> None:
    """Clip gradients where `accelerator.clip_grad_norm_` cannot mix sharded and whole ones.

    Args:
        accelerator: Accelerator of the training; its loss scale is taken back first.
        parameters: Sharded and whole parameters.
        max_norm: Largest norm of all gradients together.
    """
    accelerator.unscale_gradients()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    shards = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
    whole = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
    # A shard is on one process alone, a whole gradient on all of them.
    squares = over_processes(accelerator, _squares(shards, accelerator.device), "sum")
    norm = (squares + _squares(whole, accelerator.device)).sqrt()
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in [*shards, *whole]:
        gradient.mul_(factor)


def _squares(gradients: list[torch.Tensor], device: torch.device) -> torch.Tensor:
    """The sum of the squares of all entries, ()."""
    zero = torch.zeros((), device=device)
    return sum((gradient.float().square().sum() for gradient in gradients), start=zero)


def whole_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a sharded model without shards, on every process.

    Args:
        model: Sharded model; all processes must call this at the same time.
    """
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}

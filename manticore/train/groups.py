"""Which parameters learn at which rate."""

from itertools import chain
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM
    from manticore.search.config import TrainConfig


def parameter_groups(
    hybrid: "ManticoreForCausalLM",
    options: "TrainConfig",
    mixture: list[nn.Parameter],
) -> list[dict[str, Any]]:
    """AdamW groups for mixture weights, projectors (with a new head) and components.

    Args:
        hybrid: Whose parameters of rate zero are frozen.
        options: Rates, schedules and weight decay.
        mixture: The parameters of the mixture that AdamW is to move.
    """
    adapters = any("lora_" in name for name, _ in hybrid.components.named_parameters())
    if adapters:
        hybrid.components.requires_grad_(False)
    components = [
        [p for name, p in component.named_parameters() if "lora_" in name or not adapters]
        for component in hybrid.components
    ]
    known = {id(p) for part in (hybrid.components, hybrid.mixture) for p in part.parameters()}
    joints = [parameter for parameter in hybrid.parameters() if id(parameter) not in known]
    factors = options.component_lr_factors
    if factors is None:
        rates = {"components": (list(chain.from_iterable(components)), options.component_lr)}
    else:
        rates = {
            f"component {index}": (own, options.component_lr * factor)
            for index, (own, factor) in enumerate(zip(components, factors, strict=True))
        }
    groups = []
    if mixture:
        groups += _group("mixture", mixture, options.mixture_lr, 0.0, options.mixture_schedule)
    decay = options.weight_decay
    groups += _group("projectors", joints, options.projector_lr, decay, options.projector_schedule)
    for name, (parameters, lr) in rates.items():
        groups += _group(name, parameters, lr, decay, options.component_schedule)
    return groups


def _group(
    name: str, parameters: list[nn.Parameter], lr: float, weight_decay: float, schedule: str
) -> list[dict[str, Any]]:
    """One group; none where nothing learns, which is then frozen."""
    for parameter in parameters:
        parameter.requires_grad_(lr > 0)
    if not parameters or lr == 0:
        return []
    return [
        {
            "name": name,
            "params": parameters,
            "lr": lr,
            "weight_decay": weight_decay,
            "schedule": schedule,
        }
    ]

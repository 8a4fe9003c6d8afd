"""Which parameters learn at which rate."""

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
    components = list(hybrid.components.parameters())
    known = {id(p) for p in [*components, *hybrid.mixture.parameters()]}
    adapters = [p for name, p in hybrid.components.named_parameters() if "lora_" in name]
    if adapters:
        hybrid.components.requires_grad_(False)
        components = adapters
    joints = [parameter for parameter in hybrid.parameters() if id(parameter) not in known]
    groups = []
    for name, parameters, decay in (
        ("mixture", mixture, 0.0),
        ("projectors", joints, options.weight_decay),
        ("components", components, options.weight_decay),
    ):
        kind = name.removesuffix("s")
        if not parameters:
            continue
        lr = getattr(options, f"{kind}_lr")
        for parameter in parameters:
            parameter.requires_grad_(lr > 0)
        if lr > 0:
            schedule = getattr(options, f"{kind}_schedule")
            groups.append(
                {
                    "name": name,
                    "params": parameters,
                    "lr": lr,
                    "weight_decay": decay,
                    "schedule": schedule,
                }
            )
    return groups

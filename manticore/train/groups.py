"""Which parameters learn at which rate."""

from itertools import chain
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from manticore.config.training import TrainConfig
    from manticore.hybrid.body import HybridBody


Named = list[tuple[str, nn.Parameter]]


def parameter_groups(
    hybrid: "HybridBody",
    options: "TrainConfig",
    shared: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """AdamW groups for mixture weights, projectors (with a new head) and components.

    A fresh vocabulary learns at the components' rate, or, where they are frozen, the projectors'.
    Its decoder learns at the projectors' rate, or, where they are frozen, the components'.
    Matrices decay. Norms, biases and a state's own rates of decay do not: for them, small is not
    simple.

    Args:
        hybrid: Hybrid to train; its parameters whose rate is zero are frozen.
        options: Learning rates, schedules and weight decay.
        shared: Groups of the mixture that AdamW is to move, from `Strategy.shared_groups`.

    Returns:
        Groups with `name`, `params`, `lr`, `weight_decay` and `schedule`.
    """
    adapters = any("lora_" in name for name, _ in hybrid.components.named_parameters())
    if adapters:
        hybrid.components.requires_grad_(False)
    vocabulary = _fresh_vocabulary(hybrid, with_decoder=not options.projector_lr)
    fresh = {id(parameter) for _, parameter in vocabulary}
    components = [
        [
            (name, parameter)
            for name, parameter in component.named_parameters()
            if id(parameter) not in fresh and ("lora_" in name or not adapters)
        ]
        for component in hybrid.components
    ]
    known = {id(p) for part in (hybrid.components, hybrid.mixture) for p in part.parameters()}
    known |= fresh
    joints = [(name, p) for name, p in hybrid.named_parameters() if id(p) not in known]
    factors = options.component_lr_factors
    if factors is None:
        rates = {"components": (list(chain.from_iterable(components)), options.component_lr)}
    else:
        rates = {
            f"component {index}": (own, options.component_lr * factor)
            for index, (own, factor) in enumerate(zip(components, factors, strict=True))
        }
    if vocabulary:
        rates["vocabulary"] = (vocabulary, options.component_lr or options.projector_lr)
    groups = list(shared)
    decay = options.weight_decay
    groups += _groups("projectors", joints, options.projector_lr, decay, options.projector_schedule)
    for name, (parameters, lr) in rates.items():
        groups += _groups(name, parameters, lr, decay, options.component_schedule)
    return groups


def _fresh_vocabulary(hybrid: "HybridBody", with_decoder: bool) -> Named:
    """Fresh embeddings and heads, tied ones once; the decoder with them if wanted."""
    if not hybrid.fresh_vocabulary:
        return []
    modules: list[nn.Module] = [
        module
        for model in hybrid.components
        for module in (model.get_input_embeddings(), model.get_output_embeddings())
        if module is not None
    ]
    if with_decoder and hybrid.config.head == "reconstruction":
        modules.append(hybrid.get_submodule("decoder"))
    return list(nn.ModuleList(modules).named_parameters())


def _groups(
    name: str, parameters: Named, lr: float, weight_decay: float, schedule: str
) -> list[dict[str, Any]]:
    """Groups of what decays and what does not; none where nothing learns, which is then frozen."""
    for _, parameter in parameters:
        parameter.requires_grad_(lr > 0)
    if lr == 0:
        return []
    decaying = [parameter for own, parameter in parameters if _decays(own, parameter)]
    others = [parameter for own, parameter in parameters if not _decays(own, parameter)]
    return [
        {"name": name, "params": part, "lr": lr, "weight_decay": decay, "schedule": schedule}
        for part, decay in ((decaying, weight_decay), (others, 0.0))
        if part
    ]


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and not name.endswith("A_log")

"""The outline of a hybrid: its parts, their shapes and sizes, as plain values to be drawn."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from manticore.hybrid.modeling import ManticoreForCausalLM


def outline(hybrid: "ManticoreForCausalLM") -> dict[str, Any]:
    """The parts of a hybrid, as JSON holds them.

    Args:
        hybrid: Any hybrid.

    Returns:
        `n_blocks`, `projector`, `head`, `width` D, `vocabulary` V, and `components`, each with its
        `name`, `source`, `family`, `width` d_k, number of `parameters`, the layer indices `cuts` at
        which it is cut, N + 1 of them, and for each block its number of parameters
        (`block_parameters`) and those of the projectors into and out of it (`projectors`, pairs).
    """
    config = hybrid.config
    components = []
    for k, (runner, own) in enumerate(zip(hybrid.runners, config.component_configs, strict=True)):
        layers = list(getattr(runner.backbone, runner.spec.layers))
        cuts = list(hybrid.cuts[k])
        projectors = [
            [_size(hybrid.projectors.into_block(b, k)), _size(hybrid.projectors.out_of_block(b, k))]
            for b in range(config.n_blocks)
        ]
        components.append(
            {
                "name": config.component_names[k],
                "source": config.component_sources[k],
                "family": own.model_type,
                "width": own.hidden_size,
                "parameters": _size(runner.model),
                "cuts": cuts,
                "block_parameters": [sum(map(_size, layers[a:b])) for a, b in pairwise(cuts)],
                "projectors": projectors,
            }
        )
    return {
        "n_blocks": config.n_blocks,
        "projector": config.projector,
        "head": config.head,
        "width": config.hidden_size,
        "vocabulary": config.vocab_size,
        "components": components,
    }


def _size(module: nn.Module) -> int:
    """Number of parameters, each counted once."""
    return sum(parameter.numel() for parameter in module.parameters())

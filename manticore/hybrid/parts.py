"""Two modules of the hybrid: the list of its components, and their mixed embedding."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from manticore.hybrid.projectors import resize_width

if TYPE_CHECKING:
    from manticore.hybrid.modeling import ManticoreForCausalLM


class ComponentList(nn.ModuleList):
    """The components; it hands the properties that Transformers gathers from children upwards."""

    def _gathered(self, attribute: str) -> set:
        return {item for model in self for item in getattr(model, attribute, None) or ()}

    @property
    def all_tied_weights_keys(self) -> dict[str, str]:
        return {
            f"{k}.{tied}": f"{k}.{source}"
            for k, model in enumerate(self)
            for tied, source in model.all_tied_weights_keys.items()
        }

    @property
    def _keep_in_fp32_modules_strict(self) -> set[str]:
        return self._gathered("_keep_in_fp32_modules_strict")

    @property
    def _no_split_modules(self) -> set[str]:
        return self._gathered("_no_split_modules")

    @property
    def _skip_keys_device_placement(self) -> set[str]:
        return self._gathered("_skip_keys_device_placement")


class HybridEmbedding(nn.Module):
    """h[0]: the mixed embeddings of all components; it owns no weights."""

    def __init__(self, hybrid: "ManticoreForCausalLM") -> None:
        super().__init__()
        # In a tuple, so that the hybrid is not registered as a child of its own child.
        self._hybrid = (hybrid,)

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        alpha: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """h[0], the mixed embeddings.

        Args:
            input_ids: (B, T).
            position_ids: (B, T) or (1, T); 0, 1, 2, ... if not given.
            alpha: (N, K) mixture weights; those of the hybrid if not given.

        Returns:
            (B, T, D).
        """
        (hybrid,) = self._hybrid
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        if alpha is None:
            alpha = hybrid.mixture()
        return sum(
            alpha[0, k]
            * resize_width(
                runner.embed(input_ids, position_ids) / hybrid.config.scales[0][k], hybrid.width
            )
            for k, runner in hybrid.live_runners(0)
        )

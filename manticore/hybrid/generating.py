"""What Transformers' `generate()` asks of a model, as a hybrid answers it."""

from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import GenerationMixin

from manticore.hybrid.cache import own_cache


class HybridGenerationMixin(GenerationMixin):
    """A hybrid that writes, with a cache of its own (`hybrid.cache`)."""

    if TYPE_CHECKING:

        @property
        def device(self) -> torch.device:
            """As in Transformers."""
            ...

        # Transformers types these methods for protocols that its own models do not fulfil.
        def generate(self, *args: Any, **kwargs: Any) -> Any:
            """As in Transformers."""

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        # generate() then leaves the cache to forward(), which makes one for all components.
        return False

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        if generation_config.cache_implementation not in (None, "dynamic"):
            raise ValueError(
                f"cache_implementation='{generation_config.cache_implementation}' is not for a "
                "hybrid, whose one cache grows with the text and holds the states of all its "
                "components: leave it out."
            )
        own_cache(model_kwargs.get("past_key_values"))
        return cast(Any, super())._prepare_cache_for_generation(
            generation_config, model_kwargs, *args, **kwargs
        )

    def _maybe_initialize_input_ids_for_generation(
        self,
        inputs: torch.Tensor | None,
        bos_token_id: Any,
        model_kwargs: dict[str, Any],
    ) -> Any:
        """An empty prompt begins with the BOS token, or with EOS where there is no BOS."""
        is_empty = inputs is not None and inputs.ndim == 2 and inputs.shape[1] == 0
        if "inputs_embeds" in model_kwargs or not (inputs is None or is_empty):
            return cast(Any, super())._maybe_initialize_input_ids_for_generation(
                inputs, bos_token_id, model_kwargs
            )
        first = bos_token_id if bos_token_id is not None else self.generation_config.eos_token_id
        if isinstance(first, list):
            first = first[0] if first else None
        if first is None:
            raise ValueError(
                "The prompt is empty, and the hybrid's tokenizer has neither a BOS nor an EOS "
                "token to begin with: give a prompt."
            )
        rows = 1 if inputs is None else inputs.shape[0]
        model_kwargs["attention_mask"] = torch.ones(rows, 1, dtype=torch.long, device=self.device)
        return torch.full((rows, 1), first, dtype=torch.long, device=self.device)

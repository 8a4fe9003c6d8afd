"""One cache for all components of a hybrid."""

from collections.abc import Sequence

import torch
from transformers import Cache, PreTrainedConfig

from manticore.components.block_cache import BlockCache, cache_layers


class HybridCache(Cache):
    """Every component's own cache layers (attention keys and values, convolution and state-space
    states), one after the other in one list, so that beams reorder all of them alike.

    Args:
        configs: The K components' configurations.
    """

    def __init__(self, configs: Sequence[PreTrainedConfig]) -> None:
        per_component = [cache_layers(config) for config in configs]
        self._offsets = [0]
        for layers in per_component:
            self._offsets.append(self._offsets[-1] + len(layers))
        self._seen_tokens = 0
        self._ends_padded: torch.Tensor | None = None
        super().__init__(layers=[layer for layers in per_component for layer in layers])

    def block(self, component: int, start: int, stop: int) -> BlockCache:
        """The part that layers `start` to `stop` of a component use."""
        offset = self._offsets[component]
        return BlockCache(self.layers[offset + start : offset + stop], start, self._seen_tokens)

    def advance(self, n_tokens: int, attention_mask: torch.Tensor | None = None) -> None:
        """Count tokens that every component has taken in.

        Args:
            n_tokens: How many.
            attention_mask: (B, past + n_tokens) or None; whether rows end in padding is kept.
        """
        self._seen_tokens += n_tokens
        # One token that is decoded is never padding; asking each time would wait for the device.
        padded = attention_mask is not None and n_tokens > 1
        self._ends_padded = attention_mask[:, -1] == 0 if padded else None

    def check_padding(self) -> None:
        """Refuse to go on after padding on the right.

        Raises:
            ValueError: A row's last token is padding: the next token would be predicted from it,
                and a recurrent state would carry it on.
        """
        if self._ends_padded is not None and self._ends_padded.any():
            raise ValueError(
                "A row ends in padding, and what follows would continue the padding: pad on the "
                "left (tokenizer.padding_side = 'left')."
            )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of tokens taken in so far; the same for every layer."""
        return self._seen_tokens

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """(key length, key offset) of the whole sequence."""
        return self._seen_tokens + query_length, 0

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._seen_tokens = 0
        self._ends_padded = None

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last `-tokens_to_remove` tokens.

        Raises:
            RuntimeError: A component has recurrent states, which cannot be rolled back.
        """
        if any(self.is_linear):
            raise RuntimeError(
                "This hybrid's cache holds recurrent states, which cannot be cropped: start again "
                "from an empty cache."
            )
        super().crop(tokens_to_remove)
        self._seen_tokens -= abs(tokens_to_remove)

"""One cache for all components of a hybrid."""

from collections.abc import Sequence

import torch
from transformers import Cache, PreTrainedConfig
from transformers.cache_utils import LinearAttentionCacheLayerMixin

from manticore.components.block_cache import BlockCache, cache_layers


class HybridCache(Cache):
    """Every component's own cache layers: keys and values, convolution and state-space states.

    They stand one after the other in one list, so that beams reorder all of them alike.

    Args:
        configs: The K components' configurations.
    """

    def __init__(self, configs: Sequence[PreTrainedConfig]) -> None:
        self._made_for = _shapes(configs)
        per_component = [cache_layers(config) for config in configs]
        self._offsets = [0]
        for layers in per_component:
            self._offsets.append(self._offsets[-1] + len(layers))
        self._seen_tokens = 0
        self._ends_padded: torch.Tensor | None = None
        self._live: list[list[int]] | None = None
        super().__init__(layers=[layer for layers in per_component for layer in layers])

    @property
    def is_compileable(self) -> bool:
        """False: the cache grows.

        Transformers calls a cache of recurrent layers alone compilable, takes it for a static one,
        and then makes 4-D masks.
        """
        return False

    def block(self, component: int, start: int, stop: int) -> BlockCache:
        """The part that layers `start` to `stop` of a component use."""
        offset = self._offsets[component]
        return BlockCache(self.layers[offset + start : offset + stop], start, self._seen_tokens)

    def check(self, configs: Sequence[PreTrainedConfig], live: list[list[int]]) -> None:
        """Refuse to continue where the result would be wrong.

        Args:
            configs: The configurations of the components that are to use the cache.
            live: For each block, the indices of the components that are to run in it.

        Raises:
            ValueError: The cache was made for other components; a component has not taken in the
                earlier tokens, as its mixture weight was zero then; or a row ends in padding, and
                the next token would be predicted from it.
        """
        if self._made_for != _shapes(configs):
            raise ValueError(
                f"This cache was made for the components {self._made_for}, and the hybrid has "
                f"{_shapes(configs)} (family, layers, width): leave past_key_values out, or pass "
                "those of an earlier output of the same hybrid."
            )
        if self._live is not None:
            for block, (now, before) in enumerate(zip(live, self._live, strict=True)):
                if not set(now) <= set(before):
                    raise ValueError(
                        f"The mixture weights have changed since this cache was filled: component "
                        f"{min(set(now) - set(before))} had weight zero in block {block} and has "
                        "not seen the earlier tokens. Leave past_key_values out and pass the whole "
                        "sequence."
                    )
        if self._ends_padded is not None and self._ends_padded.any():
            raise ValueError(
                "A row ends in padding, and what follows would continue the padding: pad on the "
                "left (tokenizer.padding_side = 'left')."
            )

    def advance(
        self, n_tokens: int, attention_mask: torch.Tensor | None, live: list[list[int]]
    ) -> None:
        """Count tokens that have passed through the blocks.

        Args:
            n_tokens: Number of new tokens.
            attention_mask: (B, past + n_tokens) or None; the cache remembers whether a row ends in
                padding.
            live: For each block, the indices of the components that have run.
        """
        self._seen_tokens += n_tokens
        self._live = live
        # One token that is decoded is never padding; asking each time would wait for the device.
        self._ends_padded = None
        if attention_mask is not None and n_tokens > 1:
            self._ends_padded = attention_mask[:, -1] == 0

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of tokens taken in so far; the same for every layer."""
        return self._seen_tokens

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """(key length, key offset) of the whole sequence."""
        return self._seen_tokens + query_length, 0

    def reset(self) -> None:
        """Forget all tokens."""
        super().reset()
        self._seen_tokens = 0
        self._ends_padded = None
        self._live = None

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last `-tokens_to_remove` tokens.

        Raises:
            RuntimeError: A component has recurrent states, which cannot be rolled back.
        """
        if any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in self.layers):
            raise RuntimeError(
                "This hybrid's cache holds recurrent states, which cannot be cropped: start again "
                "from an empty cache."
            )
        super().crop(tokens_to_remove)
        self._seen_tokens -= abs(tokens_to_remove)


def _shapes(configs: Sequence[PreTrainedConfig]) -> list[tuple[str, int, int]]:
    """Family, number of layers and width of each component."""
    return [(c.model_type, c.num_hidden_layers, c.hidden_size) for c in configs]


def own_cache(cache: object) -> HybridCache | None:
    """The cache that a caller passes, if it is one that a hybrid can use, or None.

    Raises:
        ValueError: It is another kind of cache.
    """
    if cache is None or isinstance(cache, HybridCache):
        return cache
    raise ValueError(
        f"A hybrid cannot use a {type(cache).__name__}, as its cache holds the states of all its "
        "components: leave past_key_values out (the hybrid makes its own cache), or pass the "
        "past_key_values of an earlier output."
    )

"""The cache as one block of one component sees it."""

from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import CacheLayerMixin, LinearAttentionLayer


class BlockCache(Cache):
    """The cache layers of one block of one component, at the layers' own indices.

    Backbones ask "the first layer" how long the past is. In a hybrid an earlier block of the same
    component has already taken in the new tokens when a later block asks, so the indices before the
    block stand for the block's first layer, which has not.

    Args:
        layers: The cache layers of the block.
        start: Index of the block's first layer in its component.
        seen_tokens: Number of tokens that the hybrid has taken in before this pass.
    """

    def __init__(self, layers: list, start: int, seen_tokens: int) -> None:
        super().__init__(layers=[layers[0]] * start + layers)
        self._seen_tokens = seen_tokens

    def __setattr__(self, name: str, value: object) -> None:
        # RecurrentGemma of Transformers 5.17 puts its own over these two, which look into a layer
        # that a block need not have.
        if name not in ("get_seq_length", "get_mask_sizes"):
            super().__setattr__(name, value)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of past tokens; recurrent layers do not count them, so the hybrid does."""
        layer = self.layers[layer_idx]
        if isinstance(layer, CacheLayerMixin):
            return layer.get_seq_length()
        return self._seen_tokens

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """(key length, key offset) for the mask of the given layer."""
        layer = self.layers[layer_idx]
        if isinstance(layer, CacheLayerMixin):
            return layer.get_mask_sizes(query_length)
        return self._seen_tokens + query_length, 0


def cache_layers(config: PreTrainedConfig) -> list:
    """A new cache layer for each layer of a component with this configuration."""
    layers = DynamicCache(config=config).layers
    # Transformers 5.17 kept the recurrent states of RecurrentGemma in the modules, not the cache.
    kinds = getattr(config, "layers_block_type", None) or [""] * len(layers)
    return [
        LinearAttentionLayer() if kind == "recurrent" else layer
        for kind, layer in zip(kinds, layers, strict=True)
    ]

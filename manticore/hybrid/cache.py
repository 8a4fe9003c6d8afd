"""One cache for all components of a hybrid."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import Cache, PreTrainedConfig
from transformers.cache_utils import LinearAttentionCacheLayerMixin

from manticore.components.block_cache import BlockCache, cache_layers
from manticore.hybrid.folding import FoldedJoints
from manticore.hybrid.tokens import Missed, joined


class HybridCache(Cache):
    """Every component's own cache layers: keys and values, convolution and state-space states.

    They stand one after the other in one list, so that beams reorder all of them alike. Next to
    them: the state of a router, and the tokens that components have yet to take in.

    Args:
        configs: The K components' configurations.
    """

    def __init__(self, configs: Sequence[PreTrainedConfig]) -> None:
        self._configs = list(configs)
        per_component = [cache_layers(config) for config in configs]
        self._offsets = [0]
        for layers in per_component:
            self._offsets.append(self._offsets[-1] + len(layers))
        self._seen_tokens = 0
        self._ends_padded: torch.Tensor | None = None
        self._live: list[list[int]] | None = None
        self.router_state: torch.Tensor | None = None
        """(B, R) state of the hybrid's router after the tokens so far."""
        self._missed: dict[tuple[int, int], list[Missed]] = {}
        self.joints: FoldedJoints | None = None
        """The hybrid's folded joints, with which the tokens that follow are decoded."""
        super().__init__(layers=[layer for layers in per_component for layer in layers])

    def __getstate__(self) -> dict[str, Any]:
        # A copy folds again: the joints refer to the hybrid's own weights.
        return {**vars(self), "joints": None}

    @property
    def is_compileable(self) -> bool:
        """False: the cache grows.

        Transformers calls a cache of recurrent layers alone compilable, takes it for a static one,
        and then makes 4-D masks.
        """
        return False

    def block(
        self, component: int, start: int, stop: int, missed: Missed | None = None
    ) -> BlockCache:
        """The part that layers `start` to `stop` of a component use.

        Args:
            component: Index of the component.
            start: First layer.
            stop: Layer behind the last.
            missed: Earlier tokens that these layers take in only now.
        """
        offset = self._offsets[component]
        seen = self._seen_tokens - (0 if missed is None else missed.hidden_states.shape[1])
        return BlockCache(self.layers[offset + start : offset + stop], start, seen)

    def postpone(self, block: int, k: int, missed: Missed) -> None:
        """Keep tokens that a component need not take in yet.

        Args:
            block: Index of the block.
            k: Index of the component.
            missed: The tokens, which follow those that were postponed before.
        """
        self._missed.setdefault((block, k), []).append(missed)

    def has_missed(self, block: int, k: int) -> bool:
        """Whether there are tokens that a component has yet to take in.

        Args:
            block: Index of the block.
            k: Index of the component.
        """
        return (block, k) in self._missed

    def missed(self, block: int, k: int) -> Missed | None:
        """The tokens that a component has yet to take in; it is about to, and they are forgotten.

        Args:
            block: Index of the block.
            k: Index of the component.
        """
        missed = self._missed.pop((block, k), None)
        return None if missed is None else joined(missed)

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
        same = len(self._configs) == len(configs) and all(map(operator.is_, self._configs, configs))
        if not same and _shapes(self._configs) != _shapes(configs):
            raise ValueError(
                f"This cache was made for the components {_shapes(self._configs)}, and the hybrid "
                f"has {_shapes(configs)} (family, layers, width): leave past_key_values out, or "
                "pass those of an earlier output of the same hybrid."
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
        self.router_state = None
        self._missed.clear()
        self._ends_padded = None
        self._live = None

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last `-tokens_to_remove` tokens.

        Raises:
            RuntimeError: A component or a router has recurrent states, which cannot be rolled back.
        """
        recurrent = any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in self.layers)
        if recurrent or self.router_state is not None or self._missed:
            raise RuntimeError(
                "This hybrid's cache holds recurrent states, which cannot be cropped: start again "
                "from an empty cache."
            )
        super().crop(tokens_to_remove)
        self._seen_tokens -= abs(tokens_to_remove)

    # Rows -------------------------------------------------------------------------------------

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Put other rows in place of these, for a beam search."""
        super().reorder_cache(beam_idx)
        self._choose_rows(lambda tensor: tensor.index_select(0, beam_idx.to(tensor.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        super().batch_repeat_interleave(repeats)
        self._choose_rows(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the rows with these indices."""
        super().batch_select_indices(indices)
        self._choose_rows(lambda tensor: tensor[indices, ...])

    def _choose_rows(self, choose: Callable[[torch.Tensor], torch.Tensor]) -> None:
        if self.router_state is not None:
            self.router_state = choose(self.router_state)
        self._missed = {key: [joined(parts).rows(choose)] for key, parts in self._missed.items()}


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

"""What the fast mixers share: padding, the causal convolution, and states kept in a cache layer."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from transformers.cache_utils import Cache, LinearAttentionCacheLayerMixin, LinearAttentionLayer

from manticore.ops import selective_scan, selective_step


def keep_mask(attention_mask: torch.Tensor | None, length: int) -> torch.Tensor | None:
    """Which of the `length` current tokens are real, as a bool mask (batch, length), or None.

    A 2-D mask may cover earlier tokens as well: its last columns count.

    Raises:
        ValueError: The mask is not 2-D, or covers fewer tokens than there are.
    """
    if attention_mask is None:
        return None
    if attention_mask.ndim != 2 or attention_mask.shape[1] < length:
        raise ValueError(
            f"A state-space mixer over {length} tokens needs a padding mask of shape (batch, "
            f"at least {length}), not {tuple(attention_mask.shape)}: pass the tokenizer's own mask."
        )
    return attention_mask[:, -length:].bool()


def mask_tokens(hidden_states: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """Zero the padded tokens of (batch, T, channels)."""
    return (
        hidden_states if keep is None else hidden_states * keep[..., None].to(hidden_states.dtype)
    )


def linear_layer(cache: Cache, layer_idx: int) -> LinearAttentionCacheLayerMixin:
    """The cache's layer for a recurrent mixer, made where an unused one of another kind stands.

    A cache that was built from the configuration of an older RecurrentGemma holds attention layers
    everywhere, because the states used to be kept in the modules.

    Raises:
        ValueError: The cache has no such layer, or that layer already holds keys and values.
    """
    if layer_idx >= len(cache.layers):
        raise ValueError(
            f"The cache has {len(cache.layers)} layers and none for layer {layer_idx}: "
            "build it from the model's configuration: DynamicCache(config=model.config)."
        )
    layer = cache.layers[layer_idx]
    if not isinstance(layer, LinearAttentionCacheLayerMixin):
        if getattr(layer, "is_initialized", False):
            raise ValueError(
                f"Layer {layer_idx} of the cache already holds attention keys and values; "
                "it cannot hold a recurrent state as well. Start from an empty cache."
            )
        layer = cache.layers[layer_idx] = LinearAttentionLayer()
    return layer


def previous_state(cache: Cache | None, layer_idx: int) -> torch.Tensor | None:
    """The recurrent state of the tokens before; None at the start. Ask before the convolution."""
    if cache is None:
        return None
    layer = linear_layer(cache, layer_idx)
    if not layer.has_previous_state[0]:
        return None
    state = layer.recurrent_states[0]
    # The cache overwrites its tensor in place, and autograd may want the old values.
    return state.clone() if torch.is_grad_enabled() and state is not None else state


def causal_conv(
    x: torch.Tensor, conv: nn.Conv1d, cache: Cache | None, layer_idx: int
) -> torch.Tensor:
    """Depthwise causal convolution of x (batch, channels, T), continuing from the cache's state.

    The state, the last inputs, is updated. Before the first token there are zeros.
    """
    kernel, length = conv.kernel_size[0], x.shape[-1]
    if cache is not None:
        layer = cast("LinearAttentionLayer", linear_layer(cache, layer_idx))
        x = layer.update_conv_state(x, conv_kernel_size=kernel)
    context = length + kernel - 1
    if x.shape[-1] != context:
        x = nn.functional.pad(x, (context - x.shape[-1], 0))  # a negative pad cuts
    x = x.to(conv.weight.dtype)
    if length == 1:
        return _convolved_once(x, conv)
    return nn.functional.conv1d(x, conv.weight, conv.bias, groups=x.shape[1])


def _convolved_once(x: torch.Tensor, conv: nn.Conv1d) -> torch.Tensor:
    """`conv` of (batch, channels, kernel), whose one output a plain sum gives several times faster.

    As in a convolution, products of half precision are summed in float32.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    y = (x.to(dtype) * conv.weight[:, 0]).sum(-1, keepdim=True)
    return (y if conv.bias is None else y + conv.bias[:, None]).to(x.dtype)


def scan_on(
    cache: Cache | None,
    layer_idx: int,
    state: torch.Tensor | None,
    channel_axes: tuple[int, ...],
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
) -> torch.Tensor:
    """`selective_scan` that continues from a state, and writes the last state to the cache.

    Args:
        cache: Where the state came from; None where none is kept.
        layer_idx: Index of the mixer's layer.
        state: (batch, *channel_axes, N) state before these tokens, as `previous_state` gives it;
            None at the start.
        channel_axes: Axes that the channels are split into in the cache.
        u: As for `selective_scan`.
        delta: As for `selective_scan`.
        A: As for `selective_scan`, or (channels, 1) where all states of a channel share one rate.
        B: As for `selective_scan`.
        C: As for `selective_scan`.
        D: As for `selective_scan`.
        z: As for `selective_scan`.
        delta_bias: As for `selective_scan`.
        delta_softplus: As for `selective_scan`.

    Returns:
        Outputs y, (batch, channels, T).
    """
    n_states = B.shape[-2]
    if state is not None and u.shape[-1] == 1 and not torch.is_grad_enabled():
        y = selective_step(
            state.view(state.shape[0], -1, n_states),  # without gradients the cache's own tensor
            u.squeeze(-1),
            delta.squeeze(-1),
            A,
            B.squeeze(-1),
            C.squeeze(-1),
            D,
            None if z is None else z.squeeze(-1),
            delta_bias,
            delta_softplus,
        )
        return y.unsqueeze(-1).to(u.dtype)
    scan = cast("Callable[..., Any]", selective_scan)
    inputs = (u, delta, A.expand(-1, n_states), B, C, D, z, delta_bias, delta_softplus)
    if cache is None:
        return scan(*inputs)
    initial_state = None if state is None else state.flatten(1, -2)
    y, last_state = scan(*inputs, initial_state, return_last_state=True)
    last_state = last_state.unflatten(1, channel_axes)
    linear_layer(cache, layer_idx).update_recurrent_state(last_state)
    return y

"""RecurrentGemma's recurrent block with its states in the cache instead of in the module.

In Transformers the states are attributes of the block: one call leaves them for the next, beams
are not reordered, a second prompt chunk starts with an empty convolution, and padding enters both
states. Here they are the layer's entry of `past_key_values`.

Where padding is. The decoder layer is not given the 2-D mask, only what the attention layers need:

- a 4-D mask. A padded token is one that may not even attend to itself, so the mask's diagonal (of
  its last T columns) is the padding mask;
- a 2-D mask, as flash attention takes it;
- none: nothing is padded. (Transformers leaves the mask out only then.) As a runner may drop the
  mask on the way, `position_ids` still count: `generate` gives padded tokens position 0, and so
  has the first real one, thus a 0 that is followed by a 0 is padding.

A row's first real token resets the recurrence even where `position_ids` do not start at 0 there.

De et al., "Griffin", arXiv 2402.19427, section 2.4.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import nn
from transformers.cache_utils import Cache
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import (
    RecurrentGemmaRecurrentBlock,
    RecurrentGemmaRglru,
    SqrtBoundDerivative,
)

from manticore.components.mixers.state import (
    causal_conv,
    keep_mask,
    linear_layer,
    mask_tokens,
    previous_state,
)
from manticore.ops import linear_recurrence


def _real_tokens(
    attention_mask: torch.Tensor | None, position_ids: torch.Tensor, length: int
) -> torch.Tensor | None:
    """Which tokens are real, bool (batch, length), or None if all are. See the module's text."""
    if isinstance(attention_mask, torch.Tensor) and attention_mask.ndim == 4:
        diagonal = attention_mask[:, 0, :, -length:].diagonal(dim1=-2, dim2=-1)
        return diagonal if diagonal.dtype == torch.bool else diagonal == 0
    if isinstance(attention_mask, torch.Tensor):
        return keep_mask(attention_mask, length)
    zero = position_ids == 0
    if length == 1 or not (zero[:, :-1] & zero[:, 1:]).any():
        return None
    return ~(zero & nn.functional.pad(zero[:, 1:], (0, 1), value=False))


def _first_real(keep: torch.Tensor, state: torch.Tensor | None) -> torch.Tensor:
    """Real tokens with nothing but padding before them, bool (batch, T).

    A row that has seen padding only still has a state of exact zeros.
    """
    started = keep.new_zeros(keep.shape[0], 1)
    if state is not None:
        started = (state != 0).any(-1, keepdim=True)
    return keep & (keep.cumsum(-1) == 1) & ~started


class FastRecurrentGemmaRglru(RecurrentGemmaRglru):
    """The RG-LRU as a function of its input and state: nothing is kept in the module."""

    def _gate(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Sigmoid of the block-diagonal projection of (batch, T, channels)."""
        heads = x.unflatten(-1, (self.num_attention_heads, self.block_width))
        return torch.sigmoid(torch.einsum("bthi,hij->bthj", heads, weight) + bias).flatten(-2)

    # Other arguments than in Transformers, whose states are attributes of the module.
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: torch.Tensor, reset: torch.Tensor, state: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All outputs (batch, T, channels) in x's dtype, and the last state in float32.

        Args:
            x: (batch, T, channels) inputs, zero where padded.
            reset: (batch, T) bool: where the state is forgotten before the token enters.
            state: (batch, channels) state before these tokens; None for zeros.
        """
        input_gate = self._gate(x, self.input_gate_weight, self.input_gate_bias)
        log_decay = self._gate(x, self.recurrent_gate_weight, self.recurrent_gate_bias)
        log_decay = -8.0 * log_decay * nn.functional.softplus(self.recurrent_param)
        scale = SqrtBoundDerivative.apply(1 - torch.exp(2 * log_decay))
        reset = reset[..., None]
        scale = torch.where(reset, 1.0, scale).to(x.dtype)
        decay = torch.where(reset, 0.0, torch.exp(log_decay))
        recurrence = cast("Callable[..., torch.Tensor]", linear_recurrence)
        states = recurrence(decay, x * input_gate * scale, state)
        return states.to(x.dtype), states[:, -1]


class FastRecurrentGemmaBlock(RecurrentGemmaRecurrentBlock):
    """Griffin's recurrent block over a cache; `layer_idx` is set by `use_fast_mixers`."""

    layer_idx: int

    def forward(
        self,
        input_states: torch.Tensor,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        use_cache: bool | None = None,
        past_key_values: Cache | None = None,
        **kwargs: object,
    ) -> tuple[torch.Tensor, None]:
        """Mix (batch, T, width) along T; the None stands for attention weights.

        The states are read from and written to `past_key_values` wherever one is given, as the
        attention layers do, whatever `use_cache` says.
        """
        length = input_states.shape[1]
        keep = _real_tokens(attention_mask, position_ids, length)
        state = previous_state(past_key_values, self.layer_idx)
        reset = (position_ids == 0).expand(input_states.shape[0], length)
        if keep is not None:
            reset = reset | ~keep | _first_real(keep, state)
        gate = self.act_fn(self.linear_y(input_states))
        x = mask_tokens(self.linear_x(input_states), keep).transpose(1, 2)
        x = causal_conv(x, self.conv_1d, past_key_values, self.layer_idx)
        x = mask_tokens(x.transpose(1, 2), keep)
        y, last_state = self.rg_lru(x, reset, state)
        if past_key_values is not None:
            linear_layer(past_key_values, self.layer_idx).update_recurrent_state(last_state)
        return self.linear_out(y * gate), None

    def _setup_cache(self, batch: int, device: torch.device, dtype: torch.dtype) -> None:
        """Called by the model before a first cached call; here the cache holds the states."""

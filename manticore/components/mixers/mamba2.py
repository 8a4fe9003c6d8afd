"""Mamba-2's mixer on the selective scan.

Transformers' path without CUDA kernels pads every sequence to a multiple of the chunk size (256)
and builds the products of all pairs of steps within a chunk for every head. The recurrence is the
one of Mamba with one decay rate and step size for all channels of a head, so the selective scan
computes it as it is (Dao and Gu, arXiv 2405.21060, section 2).
"""

import torch
from torch import nn
from transformers.cache_utils import Cache
from transformers.integrations.accelerate import force_accelerate_hooks
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

from manticore.components.mixers.state import (
    causal_conv,
    keep_mask,
    mask_tokens,
    previous_state,
    scan_on,
)


class FastMamba2Mixer(Mamba2Mixer):
    """Same parameters and values as Mamba2Mixer."""

    def _per_channel(self, per_head: torch.Tensor) -> torch.Tensor:
        """Repeat the last axis, over heads, for all channels of a head."""
        return per_head.repeat_interleave(self.head_dim, dim=-1)

    def _scan(
        self,
        x: torch.Tensor,
        B: torch.Tensor,
        C: torch.Tensor,
        time_step: torch.Tensor,
        state: torch.Tensor | None,
        cache: Cache | None,
    ) -> torch.Tensor:
        """Scan x (batch, T, channels); B, C (batch, T, groups * N); time_step (batch, T, heads)."""
        delta = nn.functional.softplus(time_step.float() + self.dt_bias.float())
        delta = delta.clamp(*self.time_step_limit)
        rates = self._per_channel(-torch.exp(self.A_log.float()))
        grouped = (self.n_groups, self.ssm_state_size)
        y = scan_on(
            cache,
            self.layer_idx,
            state,
            (self.num_heads, self.head_dim),
            x.transpose(1, 2),
            self._per_channel(delta).transpose(1, 2),
            rates[:, None],
            B.unflatten(-1, grouped).permute(0, 2, 3, 1),
            C.unflatten(-1, grouped).permute(0, 2, 3, 1),
            D=self._per_channel(self.D),
        )
        return y.transpose(1, 2)

    @force_accelerate_hooks("conv1d")
    def forward(
        self,
        hidden_states: torch.Tensor,
        cache_params: Cache | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: object,
    ) -> torch.Tensor:
        """Mix (batch, T, width) along T, continuing from and updating `cache_params` if given.

        `attention_mask` is the 2-D padding mask of these tokens, or of all tokens so far.
        """
        length = hidden_states.shape[1]
        keep = keep_mask(attention_mask, length)
        state = previous_state(cache_params, self.layer_idx)
        projected = self.in_proj(mask_tokens(hidden_states, keep))
        gate, mixed, time_step = projected.split(
            [self.intermediate_size, self.conv_dim, self.num_heads], dim=-1
        )
        mixed = mask_tokens(mixed, keep).transpose(1, 2)
        mixed = self.act(causal_conv(mixed, self.conv1d, cache_params, self.layer_idx))
        mixed = mask_tokens(mixed.transpose(1, 2).to(projected.dtype), keep)
        group_width = self.n_groups * self.ssm_state_size
        x, B, C = mixed.split([self.intermediate_size, group_width, group_width], dim=-1)
        y = self._scan(x, B, C, time_step, state, cache_params)
        return self.out_proj(self.norm(y, gate).to(hidden_states.dtype))

"""Mamba's mixers with our selective scan: same parameters, same values, linear-time gradients.

Over Transformers' own mixers they also continue a cached state through several tokens at once
(chunked prefill; Transformers starts again from zero there), and keep padding out of both states
even where the input projection has a bias. That goes for CUDA too: on mamba-ssm's fused kernels
(2.3.2, tried on one H200) Transformers' mixers broke the invariants of hybrids, and FalconMamba's
training pass gave other logits.
"""

from collections.abc import Callable

import torch
from torch import nn
from transformers.cache_utils import Cache
from transformers.integrations.accelerate import force_accelerate_hooks
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaMixer
from transformers.models.jamba.modeling_jamba import JambaMambaMixer
from transformers.models.mamba.modeling_mamba import MambaMixer

from manticore.components.mixers.state import (
    causal_conv,
    keep_mask,
    mask_tokens,
    previous_state,
    scan_on,
)


class _SelectiveMixer(nn.Module):
    """Forward pass shared by Mamba and its relatives, which differ in `_normalize` only."""

    layer_idx: int
    intermediate_size: int
    time_step_rank: int
    ssm_state_size: int
    act: Callable[[torch.Tensor], torch.Tensor]
    in_proj: nn.Linear
    conv1d: nn.Conv1d
    x_proj: nn.Linear
    dt_proj: nn.Linear
    out_proj: nn.Linear
    A_log: nn.Parameter
    D: nn.Parameter

    def _normalize(
        self, time_step: torch.Tensor, B: torch.Tensor, C: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return time_step, B, C

    def _step_sizes(self, time_step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Step sizes (batch, T, channels) and the bias that the scan adds to them in float32.

        An adapter or a quantised layer in place of the plain projection adds its bias itself.
        """
        if type(self.dt_proj) is nn.Linear:
            return nn.functional.linear(time_step, self.dt_proj.weight), self.dt_proj.bias
        return self.dt_proj(time_step), None

    @force_accelerate_hooks(["conv1d", "dt_proj"])
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
        x, gate = projected.chunk(2, dim=-1)
        x = mask_tokens(x, keep).transpose(1, 2)
        x = self.act(causal_conv(x, self.conv1d, cache_params, self.layer_idx))
        x = mask_tokens(x.transpose(1, 2).to(projected.dtype), keep)
        sizes = [self.time_step_rank, self.ssm_state_size, self.ssm_state_size]
        time_step, B, C = self._normalize(*self.x_proj(x).split(sizes, dim=-1))
        delta, delta_bias = self._step_sizes(time_step)
        y = scan_on(
            cache_params,
            self.layer_idx,
            state,
            (self.intermediate_size,),
            x.transpose(1, 2),
            delta.transpose(1, 2),
            -torch.exp(self.A_log.float()),
            B.transpose(1, 2),
            C.transpose(1, 2),
            D=self.D,
            z=gate.transpose(1, 2),
            delta_bias=delta_bias,
            delta_softplus=True,
        )
        return self.out_proj(y.transpose(1, 2).to(hidden_states.dtype))


class FastMambaMixer(_SelectiveMixer, MambaMixer):
    """Mamba's mixer (arXiv 2312.00752, section 3.4)."""


class _NormalizedMixer(_SelectiveMixer):
    """The step size, B and C are normalized before the scan."""

    dt_layernorm: nn.Module
    b_layernorm: nn.Module
    c_layernorm: nn.Module

    def _normalize(
        self, time_step: torch.Tensor, B: torch.Tensor, C: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.dt_layernorm(time_step), self.b_layernorm(B), self.c_layernorm(C)


class FastFalconMambaMixer(_NormalizedMixer, FalconMambaMixer):
    """FalconMamba's mixer: its norms have no weights."""


class FastJambaMixer(_NormalizedMixer, JambaMambaMixer):
    """The mixer of Jamba's state-space layers (arXiv 2403.19887): its norms have weights."""

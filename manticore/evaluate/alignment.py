"""Alignment error: how well projectors carry one component's hidden states to another's."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from manticore.hybrid.alignment import boundary_states, common_states, each_boundary

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


@dataclass(frozen=True)
class AlignmentError:
    """Held-out relative reconstruction errors: 0 is perfect, 1 is as bad as the mean.

    Attributes:
        into: (N, K) errors of what enters each block, against what the component itself would
            see there.
        out_of: (N, K) errors of what leaves each block, against the states of the common language.
    """

    into: torch.Tensor
    out_of: torch.Tensor


@torch.no_grad()
def alignment_error(hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor) -> AlignmentError:
    """Measure the projectors at the hybrid's current mixture weights.

    Args:
        hybrid: The hybrid; it is put back into the mode it was in.
        input_ids: (n, T) tokens that the projectors were not fitted on.
    """
    was_training = hybrid.training
    hybrid.eval()
    try:
        states = boundary_states(hybrid, input_ids)
        shape = (hybrid.config.n_blocks, len(hybrid.components))
        errors = AlignmentError(torch.zeros(shape), torch.zeros(shape))
        common = common_states(hybrid, states)
        for at in each_boundary(hybrid, input_ids):
            errors.into[at.block, at.k] = _relative_error(at.entering, states[at.k][at.block])
            errors.out_of[at.block, at.k] = _relative_error(at.contribution, common[at.block + 1])
    finally:
        hybrid.train(was_training)
    return errors


def _relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    found, wanted = found.float().flatten(0, -2), wanted.float().flatten(0, -2)
    spread = (wanted - wanted.mean(dim=0)).square().sum()
    return float((found - wanted).square().sum() / spread.clamp_min(1e-12))

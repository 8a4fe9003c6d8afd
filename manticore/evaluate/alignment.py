"""Alignment error: how well projectors carry one component's hidden states to another's."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from manticore.hybrid.alignment import (
    States,
    boundary_states,
    common_states,
    observe_boundaries,
    scaled_states,
)
from manticore.hybrid.boundaries import Boundary, BoundaryObserver

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM


@dataclass(frozen=True)
class AlignmentError:
    """Held-out relative reconstruction errors: 0 is perfect, 1 is as bad as predicting the mean.

    Attributes:
        into: (N, K) errors of what enters each block, against what the component itself would
            see there.
        out_of: (N, K) errors of what leaves each block, against the states of the common language.
    """

    into: torch.Tensor
    out_of: torch.Tensor


def alignment_error(hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor) -> AlignmentError:
    """Measure the projectors at the hybrid's current mixture weights.

    Args:
        hybrid: The hybrid; it is put back into the mode it was in.
        input_ids: (n, T) token ids that the projectors were not fitted on.
    """
    states = scaled_states(hybrid, boundary_states(hybrid, input_ids))
    measured = _Measure(states, common_states(hybrid, states))
    observe_boundaries(hybrid, input_ids, measured)
    return measured.errors


class _Measure(BoundaryObserver):
    """Compares what passes every boundary with the components' own states."""

    def __init__(self, states: States, common: list[torch.Tensor]) -> None:
        self.states = states
        self.common = common
        shape = (len(common) - 1, len(states))
        self.errors = AlignmentError(torch.zeros(shape), torch.zeros(shape))

    def passed(self, boundary: Boundary) -> None:
        block, k = boundary.block, boundary.k
        self.errors.into[block, k] = _relative_error(boundary.entering, self.states[k][block])
        self.errors.out_of[block, k] = _relative_error(
            boundary.contribution, self.common[block + 1]
        )


def _relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    found, wanted = found.float().flatten(0, -2), wanted.float().flatten(0, -2)
    spread = (wanted - wanted.mean(dim=0)).square().sum()
    return float((found - wanted).square().sum() / spread.clamp_min(1e-12))

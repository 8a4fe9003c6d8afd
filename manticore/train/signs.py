"""Signs of failure that a run says while it goes on: what is wrong, where, and what to do."""

import math
from collections.abc import Mapping, Sequence

import torch

from manticore.names import STRATEGIES

COLLAPSED = 0.95
POOR_ALIGNMENT = 1.0
"""Relative error of a projector that carries no more than the mean would."""
_RISE = 1.05
_LEAST_LOSSES = 5


def collapsed(
    alpha: torch.Tensor, before: torch.Tensor, names: Sequence[str], strategy: str
) -> dict[str, str]:
    """Rows that a gradient has driven to a corner, by block: not those that were given or pruned.

    Args:
        alpha, before: (N, K), now and at the start.
        names: K names of components.
        strategy: Of the search.
    """
    if not STRATEGIES[strategy].gradient:
        return {}
    said = {}
    for block, (row, first) in enumerate(zip(alpha.tolist(), before.tolist(), strict=True)):
        if len(row) > 1 and 1 > max(row) > COLLAPSED >= max(first):
            said[f"collapsed {block}"] = (
                f"Block {block + 1} collapsed to '{names[row.index(max(row))]}' ({max(row):.2f}): "
                "a lower mixture_lr, or a negative entropy, keeps it open for longer."
            )
    return said


def misaligned(errors: torch.Tensor, alpha: torch.Tensor, names: Sequence[str]) -> dict[str, str]:
    """Components that are handed states far from their own.

    Args:
        errors: (N, K) of what enters each block: see `manticore.evaluate.alignment_error`.
        alpha: (N, K).
        names: K names of components.
    """
    # A component that takes no part in a block, or is alone, does not use its projectors.
    used = (alpha > 0) & (alpha < 1)
    return {
        f"misaligned {block} {k}": f"Block {block + 1} hands '{names[k]}' states far from its own "
        f"(relative error {errors[block, k]:.2f}): train the projectors first, or start from "
        "projector_init='aligned'."
        for block, k in used.nonzero().tolist()
        if errors[block, k] > POOR_ALIGNMENT
    }


def rising(losses: Sequence[float | None]) -> dict[str, str]:
    """Training losses whose last quarter is above the one before.

    Args:
        losses: Of all steps so far, oldest first; None where one was not finite.
    """
    known = [loss for loss in losses if loss is not None]
    quarter = len(known) // 4
    if quarter < _LEAST_LOSSES:
        return {}
    last = sum(known[-quarter:]) / quarter
    before = sum(known[-2 * quarter : -quarter]) / quarter
    if last <= _RISE * before:
        return {}
    return {
        "rising": f"The training loss rose, from {before:.3f} to {last:.3f} nats per token: lower "
        "the learning rates."
    }


def worse(perplexity: float, alone: Mapping[str, float]) -> dict[str, str]:
    """A hybrid that is worse than its best component.

    Args:
        perplexity: Of the hybrid.
        alone: Of each component, by name; empty if that says nothing.
    """
    if not alone:
        return {}
    best = min(alone, key=alone.get)
    if math.isfinite(perplexity) and perplexity <= alone[best]:
        return {}
    return {
        "worse": f"The hybrid's perplexity {perplexity:.2f} is worse than that of '{best}' alone, "
        f"{alone[best]:.2f}: train for more steps."
    }

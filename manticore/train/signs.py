"""Signs of failure that a run reports while it trains: what is wrong, where, and what to do."""

import math
from collections.abc import Mapping, Sequence

import torch

COLLAPSED = 0.95
POOR_ALIGNMENT = 1.0
"""Relative error of a projector that carries no more than the mean would."""
_RISE = 1.05
_LEAST_LOSSES = 5


def collapsed(alpha: torch.Tensor, before: torch.Tensor, names: Sequence[str]) -> dict[str, str]:
    """Rows that a gradient has driven to a corner: not those that were given or pruned.

    Args:
        alpha: (N, K) mixture weights now.
        before: (N, K) mixture weights at the start.
        names: K names of components.
    """
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
        errors: (N, K) relative errors of the states that enter each block, from
            `manticore.evaluate.alignment_error`.
        alpha: (N, K) mixture weights.
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
        losses: Losses of all steps so far, oldest first; None where one was not finite.
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


def worse(perplexity: float, baselines: Mapping[str, float]) -> dict[str, str]:
    """A hybrid that is worse than its best component.

    Args:
        perplexity: Perplexity of the hybrid.
        baselines: Perplexity of each component alone, by name; empty where that means nothing.
    """
    if not baselines:
        return {}
    best = min(baselines, key=lambda name: baselines[name])
    if math.isfinite(perplexity) and perplexity <= baselines[best]:
        return {}
    return {
        "worse": f"The hybrid's perplexity {perplexity:.2f} is worse than that of '{best}' alone, "
        f"{baselines[best]:.2f}: train for more steps."
    }

"""What a classifier looks at of its sequences, and the scores of the labels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

Pooling = Literal["last", "mean"]


class ScoreHead(nn.Module):
    """A score for each component: logits of the labels from its pooled states.

    Args:
        widths: Width of each component's normalized states.
        n_labels: L, the number of labels.
        pairs: Whether the states are those of pairs, which take two layers.
    """

    def __init__(self, widths: Sequence[int], n_labels: int, pairs: bool) -> None:
        super().__init__()
        self.pairs = pairs
        self.each = nn.ModuleList([self._score(width, n_labels) for width in widths])

    def _score(self, width: int, n_labels: int) -> nn.Module:
        if not self.pairs:
            return nn.Linear(width, n_labels, bias=False)
        return nn.Sequential(
            nn.Linear(4 * width, width), nn.GELU(), nn.Linear(width, n_labels, bias=False)
        )

    def forward(self, k: int, pooled: torch.Tensor) -> torch.Tensor:
        """Logits (B, L) of component k.

        Args:
            k: Index of the component.
            pooled: (B, d) pooled states, or (2 B, d) those of the pairs, whose parts alternate.
        """
        score = self.each[k]
        if self.pairs:
            x, y = pooled[0::2], pooled[1::2]
            pooled = torch.cat([x, y, x * y, x - y], dim=-1)
        return score(pooled.to(next(score.parameters()).dtype))


def pool(states: torch.Tensor, mask: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """(B, d) of (B, T, d): the last real token, or the mean of all real ones.

    Args:
        states: (B, T, d).
        mask: (B, T), 0 where padded; None where nothing is.
        pooling: One of `Pooling`.
    """
    if pooling == "mean":
        if mask is None:
            return states.mean(dim=1)
        # A sum of many states is more than half precision holds.
        real = mask[..., None].float()
        mean = (states * real).sum(dim=1) / real.sum(dim=1).clamp_min(1)
        return mean.to(states.dtype)
    if mask is None:
        return states[:, -1]
    places = torch.arange(states.shape[1], device=states.device)
    last = (places * (mask != 0)).argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), last]


def ends_padded(mask: torch.Tensor) -> bool:
    """Whether all padding of a (B, T) mask comes after a sequence's tokens.

    Args:
        mask: (B, T), 0 where padded.
    """
    return bool((mask[:, 1:] <= mask[:, :-1]).all() and mask[:, 0].all())


def without_pads(input_ids: torch.Tensor | None, pad_token_id: int | None) -> torch.Tensor | None:
    """(B, T) mask without the padding at the end; None where nothing can tell.

    The same token earlier may be an end of text, which a sequence can begin with.

    Args:
        input_ids: (B, T) token ids.
        pad_token_id: The token that pads.
    """
    if input_ids is None or pad_token_id is None:
        return None
    real = (input_ids != pad_token_id).long()
    return real.flip(1).cummax(dim=1).values.flip(1)

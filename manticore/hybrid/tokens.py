"""Where the tokens of a pass are in their sequences, and those that a component has yet to see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Missed:
    """Tokens that a component has not taken in, because they had no weight in its block.

    Attributes:
        hidden_states: (B, P, D) h at the entrance of the block.
        position_ids: (B, P) or (1, P) their positions.
    """

    hidden_states: torch.Tensor
    position_ids: torch.Tensor

    def rows(self, choose: Callable[[torch.Tensor], torch.Tensor]) -> "Missed":
        """The same tokens of other rows.

        Args:
            choose: Function from a tensor (B, ...) to that of the other rows.
        """
        positions = self.position_ids.expand(self.hidden_states.shape[0], -1)
        return Missed(choose(self.hidden_states), choose(positions))


@dataclass(frozen=True)
class Tokens:
    """Where the tokens of a pass are in their sequences.

    Attributes:
        position_ids: (B, T) or (1, T) positions.
        attention_mask: (B, past + T) padding mask, or None when nothing is padded.
    """

    position_ids: torch.Tensor
    attention_mask: torch.Tensor | None

    def until(self, left_out: int) -> "Tokens":
        """These tokens without the last so many.

        Args:
            left_out: Number of tokens.
        """
        mask = self.attention_mask
        return Tokens(
            self.position_ids[:, :-left_out], None if mask is None else mask[:, :-left_out]
        )

    def after(self, missed: Missed) -> "Tokens":
        """These tokens with earlier ones, whose places the mask has already, in front of them.

        Args:
            missed: The earlier tokens.
        """
        positions = join_positions([missed.position_ids, self.position_ids])
        return Tokens(positions, self.attention_mask)


def joined(parts: Sequence[Missed]) -> Missed:
    """Tokens that follow each other, as one."""
    if len(parts) == 1:
        return parts[0]
    return Missed(
        torch.cat([part.hidden_states for part in parts], dim=1),
        join_positions([part.position_ids for part in parts]),
    )


def join_positions(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, T) or (1, T) positions, from parts (B or 1, t) whose t add up to T."""
    rows = max(len(part) for part in parts)
    return torch.cat([part.expand(rows, -1) for part in parts], dim=1)

"""A head that decodes a whole sequence from one hidden state, for MAD's compression task."""

import math

import torch
from torch import nn

INITIAL_STD = 0.02


class ReconstructionDecoder(nn.Module):
    """Logits of every token of a sequence from the hidden state of its last position.

    As published: the state and a fixed sinusoidal embedding of each position are added, and each
    sum passes on its own through two layers (RMS norm, linear, GELU; the width stays) and an
    unembedding (RMS norm, linear). That one state is all that the decoder sees of the sequence.

    Args:
        width: Width of the hidden state, D; even, and at least 4.
        vocabulary: V, the number of tokens.

    Raises:
        ValueError: The width is odd, or too small for sines and cosines of different wavelengths.
    """

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        if width < 4 or width % 2:
            raise ValueError(
                f"width={width} has no sinusoidal embedding: give an even width, 4 or more."
            )
        self.width = width
        self.layers = nn.Sequential(
            nn.RMSNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.RMSNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.RMSNorm(width),
            nn.Linear(width, vocabulary),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=INITIAL_STD)
                nn.init.zeros_(layer.bias)

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights."""
        return next(self.parameters()).dtype

    def forward(self, last_hidden: torch.Tensor, length: int) -> torch.Tensor:
        """Logits (B, length, V) from the last position's hidden state (B, D)."""
        positions = sinusoidal_positions(length, self.width).to(last_hidden)
        return self.layers(last_hidden[:, None] + positions)


def sinusoidal_positions(length: int, width: int) -> torch.Tensor:
    """Sines, then cosines, of wavelengths from 2 pi to 20,000 pi: (length, width)."""
    rates = torch.exp(-math.log(10_000) * torch.linspace(0, 1, width // 2))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)

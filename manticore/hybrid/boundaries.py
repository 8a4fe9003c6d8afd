"""What passes the boundaries between blocks, for those who fit or measure projectors."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Boundary:
    """What passes into and out of one component's block in the running hybrid.

    Attributes:
        block: Index of the block, from 0.
        k: Index of the component.
        entering: (B, T, d_k) u[b, k], divided by its scale.
        leaving: (B, T, d_k) v[b, k], the output of the block divided by its scale.
        contribution: (B, T, D) the gated output, before its mixture weight.
    """

    block: int
    k: int
    entering: torch.Tensor
    leaving: torch.Tensor
    contribution: torch.Tensor


class BoundaryObserver:
    """Looks at every boundary of a pass, those of components of weight zero too."""

    def before_entering(self, block: int, k: int, states: torch.Tensor, gate: float) -> None:
        """Called with h[b - 1], (B, T, D), before the projector into block[b, k] is used.

        Not called where the component is alone in the block, as no projector is used then.
        """

    def before_leaving(self, block: int, k: int, states: torch.Tensor, gate: float) -> None:
        """Called with v[b, k], (B, T, d_k), before the projector out of block[b, k] is used.

        Not called where the component is alone in the block, as no projector is used then.
        """

    def passed(self, boundary: Boundary) -> None:
        """Called when a component's block is done."""
